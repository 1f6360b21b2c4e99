"""What a Python program asks of a coordinator; the command `edgemeter` is written on it."""
