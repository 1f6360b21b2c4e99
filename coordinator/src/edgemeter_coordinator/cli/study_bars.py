"""Bars for one study after another, under one for all of them."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from edgemeter_coordinator.cli.output import note
from edgemeter_coordinator.cli.progress import Bars, Step, study_steps, upload_step
from edgemeter_coordinator.sdk.study_watcher import Outcome, Watcher

if TYPE_CHECKING:
    from edgemeter_protos.v1 import lab_pb2


class StudyBars(Watcher):
    """Draws while the `with` lasts."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bars: Bars | None = None
        self._all = Step(key="parts", label=name, fraction=0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def began(self, place: int, total: int, part: str) -> None:
        self._close()
        # Of its own for each: a long file's bars do not fit a screen.
        self._bars = Bars().__enter__()
        line = f"{place + 1} of {total}: {part}"
        self._all = Step(key="parts", label=self._name, fraction=place / total, detail=line, milestone=line)
        self._show()

    def doing(self, line: str) -> None:
        if self._bars is not None:
            self._bars.say(line)

    def uploading(self, file: str, done_bytes: int, total_bytes: int) -> None:
        self._show(upload_step(Path(file), done_bytes, total_bytes))

    def measuring(self, study: lab_pb2.Study) -> None:
        self._show(*study_steps(study))

    def ended(self, outcome: Outcome) -> None:
        self._close()
        if outcome.study is None:
            note(f"{outcome.part}: {outcome.problem}")
            return
        there = ", was there already" if outcome.reused else ""
        note(f"{outcome.part}: {outcome.state}{there} ({outcome.study.name})")

    def _close(self) -> None:
        if self._bars is not None:
            self._bars.__exit__(None, None, None)
            self._bars = None

    def _show(self, *steps: Step) -> None:
        if self._bars is not None:
            self._bars.show([self._all, *steps])
