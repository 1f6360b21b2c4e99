"""Networks of the zoo. A coordinator may call these modules' functions: they build, and nothing else."""
