"""Models through conversion workers: processes of their own, so that no framework, crash or leak of a
conversion is ever the service's."""
