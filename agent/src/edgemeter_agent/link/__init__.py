"""The device link: a pure core (`core`), and the threads that carry out what it decides."""
