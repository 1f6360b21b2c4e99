"""The frequency governor: performance while measuring, and afterwards what it was before."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from edgemeter_agent.board.guard import GUARD, measuring, restore_left_over
from edgemeter_agent.board.processor import CPUFREQ
from edgemeter_agent.board.root import BoardRoot

__all__ = ["GUARD", "performance", "restore_left_over", "settable_because"]

WANTED = "performance"


def settable_because(board: BoardRoot) -> str | None:
    """Why the governor can't be set to performance; None where it can."""
    policies = board.glob(f"{CPUFREQ}/policy*")
    if not policies:
        return f"no /{CPUFREQ}/policy*"
    for policy in policies:
        offered = board.text_or_none(f"{policy}/scaling_available_governors")
        if offered is not None and WANTED not in offered.split():
            return f"/{policy} offers {offered}"
        if not os.access(board.path(f"{policy}/scaling_governor"), os.W_OK):
            return f"/{policy}/scaling_governor is not writable; root may"
    return None


@contextlib.contextmanager
def performance(board: BoardRoot) -> Iterator[str | None]:
    """Sets the governor for a while. Yields None where it did or where nothing was to do, and else why
    not."""
    restore_left_over(board)
    why_not = settable_because(board)
    if why_not is not None:
        yield why_not
        return
    settings = {f"{policy}/scaling_governor": WANTED for policy in board.glob(f"{CPUFREQ}/policy*")}
    with measuring(board).changed(settings) as failed:
        yield failed
