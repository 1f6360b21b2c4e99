"""The command `edgemeter`, one file a noun, written on the SDK."""
