"""The studies that one study file makes: one a part, named "FILE/PART", and "FILE/PART/2" when made again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from edgemeter_coordinator.sdk.errors import Refused
from edgemeter_protos.v1 import lab_pb2

if TYPE_CHECKING:
    from edgemeter_coordinator.sdk.lab import Lab
    from edgemeter_coordinator.sdk.study import Study

MOST_PARTS = 1000
"""As many as a coordinator lists at once."""

_RUN = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)


class _Made(Protocol):
    @property
    def last(self) -> lab_pb2.Study: ...


M = TypeVar("M", bound=_Made)


@dataclass(frozen=True, kw_only=True, slots=True)
class PartName:
    """What a study of a part is called; `run` counts from 1."""

    file: str
    part: str
    run: int = 1

    def __str__(self) -> str:
        return f"{self.file}/{self.part}" + (f"/{self.run}" if self.run > 1 else "")


def parse(name: str) -> PartName | None:
    """The parts of a name; None for a study that belongs to no study file. Pure."""
    file, _, rest = name.partition("/")
    part, slash, run = rest.partition("/")
    if not file or not part or (slash and not _RUN.fullmatch(run)) or run == "1":
        return None
    return PartName(file=file, part=part, run=int(run or 1))


def studies_of(lab: Lab, reference: str) -> list[Study]:
    """The study that `reference` names, or the parts of the study file of that name, in the file's order.

    "compression" and "compression/*" mean every part; of a part that was made again on the same boards the
    newest counts. Any other text is what `lab.study` takes: a name ("compression/resnet"), an id, the start
    of one. Raises Refused: NOT_FOUND, BAD_REQUEST.
    """
    file = reference.removesuffix("/*")
    found, refused = (None, None) if file != reference else _study(lab, reference)
    if found is not None and reference in (found.name, found.id):
        return [found]
    # Before an id that happens to start so.
    made = newest(runs_of(lab, file)) if file and "/" not in file else []
    if made:
        return made
    if found is not None:
        return [found]
    raise refused or Refused(
        f"no study's name begins with '{file}/': `edgemeter study ls` lists what there is", reason="NOT_FOUND"
    )


def _study(lab: Lab, reference: str) -> tuple[Study | None, Refused | None]:
    try:
        return lab.study(reference), None
    except Refused as refused:
        return None, refused


def runs_of(lab: Lab, file: str) -> list[Study]:
    """Every study of any part of a study file, newest first."""
    every = lab.studies(MOST_PARTS, part_of=file)
    return [study for study in every if (name := parse(study.name)) is not None and name.file == file]


def newest(studies: Iterable[M]) -> list[M]:
    """Of each part, on each set of boards, the one made last; in the order in which parts first came. Pure.

    Args:
        studies: of one study file, in any order.
    """
    kept: dict[tuple[str, frozenset[str]], M] = {}
    for study in sorted(studies, key=lambda each: (each.last.created_at_unix_ms, _run(each))):
        name = parse(study.last.name)
        if name is not None:
            # A key that is there keeps its place.
            kept[name.part, frozenset(job.device_id for job in study.last.jobs)] = study
    return list(kept.values())


def _run(study: _Made) -> int:
    name = parse(study.last.name)
    return 0 if name is None else name.run
