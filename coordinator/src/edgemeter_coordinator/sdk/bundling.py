"""Puts studies that ended into a bundle, and repeats them from one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from edgemeter_coordinator.bundle import archive, numbers
from edgemeter_coordinator.bundle.agreement import Compared, changed_tools, compare, repeats
from edgemeter_coordinator.bundle.manifest import Bundle, Bundled
from edgemeter_coordinator.sdk import parts
from edgemeter_coordinator.sdk.errors import EdgemeterError, Unreachable
from edgemeter_coordinator.sdk.part_study import study_of
from edgemeter_coordinator.sdk.replay_originals import bring, zoo_entry
from edgemeter_coordinator.sdk.study import Study
from edgemeter_coordinator.sdk.study_watcher import Watcher
from edgemeter_protos.v1 import lab_pb2

if TYPE_CHECKING:
    from edgemeter_coordinator.sdk.lab import Lab


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What became of one study.

    Attributes:
        name: of the study that was repeated.
        study: the repetition; None where none could be made.
        problem: why not; empty where there is one.
        numbers: every number of the first, and what the repetition says of it.
        changed_tools: that built the variants by another version, a line each.
    """

    name: str
    study: Study | None
    problem: str = ""
    numbers: Sequence[Compared] = ()
    changed_tools: Sequence[str] = ()

    @property
    def repeats(self) -> bool:
        """Whether the same came out."""
        return repeats(self.numbers)


def bundle(lab: Lab, references: Iterable[str], to: Path, *, with_files: bool = False) -> Bundle:
    """Writes studies to a .zip, from which `replay` repeats them.

    Args:
        references: as `parts.studies_of` takes them: all parts of a study file by its name.
        with_files: models and data too; else only their digests, and which zoo entry brings them.

    Raises EdgemeterError for a study that has no results or still runs, and where `to` can't be written.
    """
    studies = {study.id: study for each in references for study in parts.studies_of(lab, each)}
    models = {model.digest: model for model in lab.models()}
    datasets = {dataset.digest: dataset for dataset in lab.datasets()}
    bundled = [_bundled(study, models, datasets) for study in studies.values()]
    wanted = {digest for each in bundled for digest in (each.model.digest, each.data.digest)}
    made = Bundle(
        made_by=version("edgemeter-coordinator"),
        studies=bundled,
        files=frozenset(wanted if with_files else ()),
    )
    archive.write(to, made, lab.download)
    return made


def _bundled(study: Study, models: dict[str, lab_pb2.Model], datasets: dict[str, lab_pb2.Dataset]) -> Bundled:
    if not study.ended:
        raise EdgemeterError(
            f"study {study.name} still runs: `edgemeter study watch {study.name}` follows it"
        )
    responses = study.responses()
    if not responses:
        raise EdgemeterError(f"study {study.name} {study.state}, and has no results: nothing to repeat")
    model, data = models[study.last.model_digest], datasets[study.last.dataset_digest]
    boards = {response.device.id: response.device for response in responses}
    for board in boards.values():
        # Whoever gets the bundle needs no addresses.
        board.ClearField("meters")
    last = lab_pb2.Study()
    last.CopyFrom(study.last)
    last.ClearField("created_by")
    return Bundled(
        study=last,
        model=model,
        data=data,
        boards=boards,
        measured=numbers.measured(responses),
        zoo_model=zoo_entry(model.name),
        zoo_data=zoo_entry(data.name),
    )


def replay(lab: Lab, path: Path, *, devices: Iterable[str], watcher: Watcher | None = None) -> list[Replayed]:
    """Repeats every study of a bundle on these devices, and holds its numbers against the first.

    A repetition that was cut off is gone on with. Raises EdgemeterError for what is no bundle, Refused where
    no device matches, Unreachable.
    """
    told = watcher or Watcher()
    wanted = archive.read(path)
    selectors = list(devices)
    lab.devices(selectors)
    found = []
    for place, each in enumerate(wanted.studies):
        told.began(place, len(wanted.studies), each.study.name)
        try:
            found.append(_replayed(lab, path, wanted, each, selectors, told))
        except Unreachable:
            raise
        except EdgemeterError as error:
            found.append(Replayed(name=each.study.name, study=None, problem=str(error)))
    return found


def _replayed(
    lab: Lab, path: Path, bundle: Bundle, one: Bundled, devices: Sequence[str], watcher: Watcher
) -> Replayed:
    bring(lab, path, bundle, one, watcher)
    request = lab_pb2.CreateStudyRequest(
        model=one.study.model_digest,
        dataset=one.study.dataset_digest,
        recipes=[variant.recipe for variant in one.study.variants],
        devices=devices,
        plan=one.study.plan,
        dry_run=True,
    )
    planned = lab.create_study(request).last

    def create(name: str) -> Study:
        request.name, request.dry_run = name, False
        return lab.create_study(request)

    file, part = replay_name(one.study.name)
    study = study_of(lab, file, part, planned, create=create, say=watcher.doing, anew=True)
    study.wait(progress=watcher.measuring)
    responses = study.responses()
    used = {job.device_id for job in planned.jobs}
    boards = {board.id: board for board in lab.devices() if board.id in used}
    compared = compare(one.measured, numbers.measured(responses), one.boards, boards)
    changed = changed_tools(one.study, study.last)
    return Replayed(name=one.study.name, study=study, numbers=compared, changed_tools=changed)


def replay_name(name: str) -> tuple[str, str]:
    """What repetitions of a study are called, as file and part of a PartName. Pure."""
    made = parts.parse(name)
    if made is None:
        return "replay", name.replace("/", "-")
    return f"{made.file}-replay", made.part
