"""`edgemeter demo`: the whole way on one machine, with real digits."""
