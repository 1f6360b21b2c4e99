"""What is changed by a program, and how it is undone. Nothing else is ever run, whatever a note says."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.tuning.advice import Step
from edgemeter_agent.tuning.services import STOPPABLE

PATIENCE_S = 120.0
"""For swapping back, and for a service that takes its time to stop."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    is_known: Callable[[str], bool]
    """Whether this may be done to it at all."""
    do: Callable[[str], tuple[tuple[str, ...], ...]]
    """The commands that do it, and those that undo it."""
    undo: Callable[[str], tuple[tuple[str, ...], ...]]


KINDS = {
    "swap": Kind(
        is_known=lambda what: re.fullmatch(r"/[\w./-]+", what) is not None,
        do=lambda what: (("swapoff", what),),
        undo=lambda what: (("swapon", what),),
    ),
    "service": Kind(
        is_known=lambda what: what in STOPPABLE,
        do=lambda what: (("systemctl", "stop", what),),
        undo=lambda what: (("systemctl", "start", what),),
    ),
    "jetson_clocks": Kind(
        is_known=lambda what: not what,
        do=lambda _: (("jetson_clocks", "--store"), ("jetson_clocks",)),
        undo=lambda _: (("jetson_clocks", "--restore"),),
    ),
}


def run(board: BoardRoot, step: Step, undo: bool = False) -> None:
    """Does a step, or undoes it. Raises OSError, one line."""
    kind = KINDS.get(step.kind)
    if kind is None or not kind.is_known(step.what):
        raise OSError(f"{step.kind} {step.what}: not one of ours")
    for command in (kind.undo if undo else kind.do)(step.what):
        board.program_output(*command, timeout_s=PATIENCE_S)
