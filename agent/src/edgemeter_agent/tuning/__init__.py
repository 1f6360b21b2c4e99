"""What makes a board's numbers quieter: `edgemeter-agent doctor --tune`.

To add advice is to add a function that looks at a board, and its line in `CHECKS`. What it changes must be in
`board.guard.SETTINGS` or a kind of `tuning.steps`.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.tuning import clocks, hardware, jetson, kernel, memory, services
from edgemeter_agent.tuning.advice import Advice

CHECKS: tuple[Callable[[BoardRoot], Advice | None], ...] = (
    clocks.governor,
    clocks.lowest_clock,
    clocks.boost,
    clocks.threads_of_a_core,
    jetson.power_mode,
    jetson.held_clocks,
    memory.swap,
    memory.address_layout,
    kernel.pressure,
    lambda board: kernel.isolation(board, os.cpu_count() or 1),
    services.background_services,
    services.desktop,
    services.busy_processes,
    hardware.supply,
    hardware.cooling,
)
"""In the order in which they are shown; None where a board has no such thing."""


def advise(board: BoardRoot) -> list[Advice]:
    """Takes a second: it looks who is busy."""
    return [advice for check in CHECKS if (advice := check(board)) is not None]
