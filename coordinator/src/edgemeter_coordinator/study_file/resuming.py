"""Whether a part is there already, or is to be made, and under which name. Pure.

A run that stopped is gone on with by starting it again. A study of the part that asks for the same (model,
data, recipes, plan, boards) is not made twice: one that completed is taken as it is, one that runs is waited
for. One that failed or was cancelled is made again beside it, as "FILE/PART/2": nothing that was measured is
thrown away, and variants that were built are not built again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgemeter_coordinator.sdk import parts
from edgemeter_coordinator.sdk.parts import PartName
from edgemeter_protos.v1 import lab_pb2

_IN_VAIN = (lab_pb2.STUDY_STATE_FAILED, lab_pb2.STUDY_STATE_CANCELLED)


@dataclass(frozen=True, kw_only=True)
class There:
    """It has been made."""

    study: lab_pb2.Study


@dataclass(frozen=True, kw_only=True)
class Make:
    """Attributes:
    why: what of the last one is not as wanted; empty where there was none.
    """

    name: PartName
    why: str


def decide(
    file: str,
    part: str,
    planned: lab_pb2.Study,
    made: Iterable[lab_pb2.Study],
    *,
    keep_failed: bool = False,
) -> There | Make:
    """What is to be done for a part.

    Args:
        file, part: of its name.
        planned: what the coordinator would create.
        made: studies that there are, of any part.
        keep_failed: take also those that failed as they are.
    """
    runs = sorted(
        ((name.run, study) for study in made if (name := parts.parse(study.name)) and _is(name, file, part)),
        key=lambda run: -run[0],
    )
    for _, study in runs:
        if not differences(planned, study):
            if study.state not in _IN_VAIN or (keep_failed and study.state == lab_pb2.STUDY_STATE_FAILED):
                return There(study=study)
            break
    if not runs:
        return Make(name=PartName(file=file, part=part), why="")
    last, study = runs[0]
    others = differences(planned, study)
    state = lab_pb2.StudyState.Name(study.state).removeprefix("STUDY_STATE_").lower()
    why = f"{study.name} has {', '.join(others)}" if others else f"{study.name} {state}"
    return Make(name=PartName(file=file, part=part, run=last + 1), why=why)


def differences(planned: lab_pb2.Study, made: lab_pb2.Study) -> list[str]:
    """What `made` has of its own: "another model", "other data", …; nothing where the two are the same."""
    pairs = (
        ("another model", planned.model_digest == made.model_digest),
        ("other data", planned.dataset_digest == made.dataset_digest),
        ("other recipes", _recipes(planned) == _recipes(made)),
        ("another plan", planned.plan == made.plan),
        ("other boards", _boards(planned) == _boards(made)),
    )
    return [what for what, same in pairs if not same]


def _is(name: PartName, file: str, part: str) -> bool:
    return (name.file, name.part) == (file, part)


def _recipes(study: lab_pb2.Study) -> list[str]:
    return [variant.recipe for variant in study.variants]


def _boards(study: lab_pb2.Study) -> set[str]:
    return {job.device_id for job in study.jobs}
