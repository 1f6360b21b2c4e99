"""Numbers from samples: pure functions on numpy arrays."""
