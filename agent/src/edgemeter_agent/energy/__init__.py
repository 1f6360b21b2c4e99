"""From a meter's readings to energy with an uncertainty: pure functions on numpy arrays, and the sampler."""
