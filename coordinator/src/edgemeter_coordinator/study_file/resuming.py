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
from edgemeter_coordinator.sdk.study import ENDED
from edgemeter_protos.v1 import lab_pb2


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
    anew: bool = False,
) -> There | Make:
    """What is to be done for a part.

    Args:
        file, part: of its name.
        planned: what the coordinator would create.
        made: studies that there are, of any part.
        keep_failed: take also those that failed as they are.
        anew: take none that ended: only one that runs is gone on with.
    """
    runs = sorted(
        ((name.run, study) for study in made if (name := parts.parse(study.name)) and _is(name, file, part)),
        key=lambda run: -run[0],
    )
    same = next((study for _, study in runs if not differences(planned, study)), None)
    if same is not None and _taken(same.state, keep_failed=keep_failed, anew=anew):
        return There(study=same)
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


def _taken(state: lab_pb2.StudyState.ValueType, *, keep_failed: bool, anew: bool) -> bool:
    """Whether a study of this state is taken for the part's."""
    if state == lab_pb2.STUDY_STATE_CANCELLED or (anew and state in ENDED):
        return False
    return keep_failed or state != lab_pb2.STUDY_STATE_FAILED


def _is(name: PartName, file: str, part: str) -> bool:
    return (name.file, name.part) == (file, part)


def _recipes(study: lab_pb2.Study) -> list[str]:
    return [variant.recipe for variant in study.variants]


def _boards(study: lab_pb2.Study) -> set[str]:
    return {job.device_id for job in study.jobs}
