"""The study of a part: one that is there, or one that is made under a name that is free."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgemeter_coordinator.sdk import parts
from edgemeter_coordinator.sdk.errors import Refused
from edgemeter_coordinator.sdk.study import Study
from edgemeter_coordinator.study_file.resuming import There, decide
from edgemeter_protos.v1 import lab_pb2

if TYPE_CHECKING:
    from edgemeter_coordinator.sdk.lab import Lab

_TURNS = 5
"""How often a name is looked for that nobody else takes meanwhile."""


def study_of(
    lab: Lab,
    file: str,
    part: str,
    planned: lab_pb2.Study,
    *,
    create: Callable[[str], Study],
    say: Callable[[str], None],
    keep_failed: bool = False,
    anew: bool = False,
) -> Study:
    """What `resuming.decide` decides, carried out.

    Args:
        planned: what the coordinator would create.
        create: makes the study of a name.
        say: is told why a study is made beside another.

    Raises what `create` raises.
    """
    turns = _TURNS
    while True:
        made = (study.last for study in parts.runs_of(lab, file))
        found = decide(file, part, planned, made, keep_failed=keep_failed, anew=anew)
        if isinstance(found, There):
            return Study(lab, found.study)
        if found.why:
            say(f"{found.why}: this one is {found.name}")
        turns -= 1
        try:
            return create(str(found.name))
        except Refused as refused:
            # Another command that makes the same was faster.
            if refused.reason != "ALREADY_EXISTS" or not turns:
                raise
