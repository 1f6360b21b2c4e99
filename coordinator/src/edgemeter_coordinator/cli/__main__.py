"""`python -m edgemeter_coordinator.cli` is the command `edgemeter`."""

from edgemeter_coordinator.cli.app import main

main()
