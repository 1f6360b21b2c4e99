"""Runs a study file: one study a part, one after the other; what is there already is not made again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from edgemeter_coordinator.sdk import data_source
from edgemeter_coordinator.sdk.adding import application_of, zoo_names
from edgemeter_coordinator.sdk.errors import EdgemeterError, Refused, Unreachable
from edgemeter_coordinator.sdk.part_originals import Brought, bring
from edgemeter_coordinator.sdk.part_study import study_of
from edgemeter_coordinator.sdk.study import Study
from edgemeter_coordinator.sdk.study_watcher import Outcome, Watcher
from edgemeter_coordinator.study_file.contents import StudyFile
from edgemeter_coordinator.study_file.originals import Origins, Surroundings, locate
from edgemeter_coordinator.study_file.wanted import WantedPart
from edgemeter_protos.v1 import lab_pb2

if TYPE_CHECKING:
    from edgemeter_coordinator.sdk.lab import Lab

T = TypeVar("T")

PATIENCE_S = 60.0
"""A coordinator that restarts is waited for so long."""
_PAUSE_S = 1.0

_OF_ONE_RECIPE = frozenset(("UNKNOWN_RECIPE", "NO_DEVICE_MATCHES", "BAD_REQUEST"))
"""Reasons that a coordinator may have to refuse a study for one of its recipes."""


def located(lab: Lab, file: StudyFile, wanted: Sequence[WantedPart]) -> list[Origins]:
    """Where each part's model and data come from. Raises EdgemeterError for the first that is nowhere."""
    around = Surroundings(
        folder=Path(file.source).absolute().parent,
        zoo=zoo_names(),
        models=[text for each in lab.models() for text in (each.name, each.digest)],
        datasets=[text for each in lab.datasets() for text in (each.name, each.digest)],
        exists=data_source.exists,
    )
    return [locate(file, each.part, around) for each in wanted]


def run(
    lab: Lab,
    file: StudyFile,
    wanted: Sequence[WantedPart],
    *,
    name: str,
    devices: Iterable[str],
    keep_failed: bool = False,
    watcher: Watcher,
    patience_s: float = PATIENCE_S,
) -> list[Outcome]:
    """Makes every part, and waits for it; where one fails the others go on.

    Args:
        name: what the studies' names begin with.
        devices: as `Lab.bench` takes them.
        keep_failed: take parts that failed earlier as they are.

    Raises EdgemeterError where a model of any part is nowhere, before anything is made; Refused where no
    device matches; Unreachable where the coordinator is away for longer than `patience_s`.
    """
    selectors = list(devices)
    lab.devices(selectors)
    origins = located(lab, file, wanted)
    outcomes = []
    for place, (each, origin) in enumerate(zip(wanted, origins, strict=True)):
        watcher.began(place, len(wanted), each.part.name)
        runner = _PartRun(lab, each, origin, name, selectors, keep_failed, watcher)
        outcome = _patiently(runner.outcome, patience_s)
        watcher.ended(outcome)
        outcomes.append(outcome)
    return outcomes


class _PartRun:
    """One part's way. It may be gone through again from the beginning at any time: what was done stays."""

    def __init__(
        self,
        lab: Lab,
        wanted: WantedPart,
        origins: Origins,
        name: str,
        devices: Sequence[str],
        keep_failed: bool,
        watcher: Watcher,
    ) -> None:
        self._lab = lab
        self._wanted = wanted
        self._origins = origins
        self._name = name
        self._devices = devices
        self._keep_failed = keep_failed
        self._watcher = watcher
        part = wanted.part
        self._application = part.application or application_of(origins.model.text)
        self._left_out: tuple[tuple[str, str], ...] = ()

    def outcome(self) -> Outcome:
        """Raises Unreachable."""
        try:
            study, reused = self._study()
        except Unreachable:
            raise
        except EdgemeterError as error:
            return self._ended(None, problem=str(error))
        if not reused:
            study.wait(progress=self._watcher.measuring)
        return self._ended(study, reused=reused)

    def _ended(self, study: Study | None, *, reused: bool = False, problem: str = "") -> Outcome:
        return Outcome(
            part=self._wanted.part.name,
            application=self._application,
            study=study,
            reused=reused,
            problem=problem,
            left_out=self._left_out,
        )

    def _study(self) -> tuple[Study, bool]:
        """The part's study, and whether it had ended before."""
        brought = bring(self._lab, self._wanted.part, self._origins, self._watcher)
        planned = self._planned(brought)
        recipes = [variant.recipe for variant in planned.variants]
        study = study_of(
            self._lab,
            self._name,
            self._wanted.part.name,
            planned,
            create=lambda name: self._create(brought, recipes, name=name),
            say=self._watcher.doing,
            keep_failed=self._keep_failed,
        )
        return study, study.ended

    def _planned(self, brought: Brought) -> lab_pb2.Study:
        """What the coordinator would create, without the recipes that it refuses one by one.

        Raises Refused, also where that is the first: without its baseline a study compares nothing.
        """
        recipes = self._wanted.recipes
        try:
            return self._create(brought, recipes).last
        except Refused as refused:
            if refused.reason not in _OF_ONE_RECIPE:
                raise
            told = {recipe: self._problem(brought, recipe) for recipe in recipes}
            left_out = tuple((recipe, why) for recipe, why in told.items() if why)
            if not left_out or told[recipes[0]]:
                raise
        planned = self._create(brought, [recipe for recipe in recipes if not told[recipe]]).last
        self._left_out = left_out
        return planned

    def _problem(self, brought: Brought, recipe: str) -> str:
        """Why the coordinator refuses a study of this recipe alone; empty where it does not."""
        try:
            self._create(brought, [recipe])
        except Refused as refused:
            return str(refused)
        return ""

    def _create(self, brought: Brought, recipes: Sequence[str], *, name: str = "") -> Study:
        """A study; without a name it is planned only."""
        return self._lab.create_study(
            lab_pb2.CreateStudyRequest(
                name=name,
                model=brought.model,
                dataset=brought.data,
                recipes=recipes,
                devices=self._devices,
                plan=self._wanted.plan,
                dry_run=not name,
            )
        )


def _patiently(attempt: Callable[[], T], patience_s: float) -> T:
    """What `attempt` gives, tried again while the coordinator is away, for so long."""
    away_since_s: float | None = None
    while True:
        began_s = time.monotonic()
        try:
            return attempt()
        except Unreachable:
            # One that failed after a while had reached it before.
            if away_since_s is None or time.monotonic() - began_s > patience_s:
                away_since_s = time.monotonic()
            if time.monotonic() - away_since_s >= patience_s:
                raise
            time.sleep(_PAUSE_S)
