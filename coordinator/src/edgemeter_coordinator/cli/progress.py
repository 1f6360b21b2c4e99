"""Progress on stderr: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from edgemeter_coordinator.cli.output import error_console, note

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from edgemeter_protos.v1 import lab_pb2


_LARGE_BYTES = 16 << 20


@dataclass(frozen=True, kw_only=True)
class Step:
    """One bar, as it is now."""

    key: str
    label: str
    # 0 to 1; None where only that it goes on is known.
    fraction: float | None
    detail: str = ""
    # What a plain line says; a new line is printed when it changes.
    milestone: str = ""


def upload_step(path: Path, done_bytes: int, total_bytes: int) -> Step:
    """The bar of a file on its way."""
    fraction = done_bytes / total_bytes if total_bytes else 1.0
    return Step(
        key=f"upload {path}",
        label=f"upload {path.name}",
        fraction=fraction,
        detail=f"{done_bytes / 1e6:.1f} of {total_bytes / 1e6:.1f} MB",
        # Where nothing is drawn, a small file is not worth a line.
        milestone=f"{int(fraction * 4) * 25} %" if total_bytes >= _LARGE_BYTES else "",
    )


def _variant_step(variant: lab_pb2.StudyVariant) -> Step:
    from edgemeter_coordinator.cli.records import variant_state

    state = variant_state(variant.state)
    fraction = {"waiting": 0.0, "converting": variant.fraction or None}.get(state, 1.0)
    detail = (variant.phase if state == "converting" else "") or state
    if state == "ready":
        detail = "reused" if variant.reused else "converted"
    elif variant.error:
        detail = f"{state}: {variant.error}"
    return Step(
        key=f"variant {variant.variant_id or variant.recipe}",
        label=f"convert {variant.recipe}",
        fraction=fraction,
        detail=detail,
        # A fine-tuning's loss is new every moment: that is for the bars.
        milestone="" if state == "waiting" else state if state == "converting" else detail,
    )


def _job_step(job: lab_pb2.Job) -> Step:
    from edgemeter_coordinator.cli.records import job_state

    state = job_state(job.state)
    running = state == "running"
    detail = (job.phase if running else job.detail) or state
    quarter = int(job.fraction * 4) * 25
    milestone = f"{state} {quarter} %" if running else f"{state}: {job.detail}" if job.detail else state
    return Step(
        key=f"job {job.id}",
        label=f"measure on {job.device_name}",
        fraction=1.0 if state in ("completed", "failed", "cancelled") else job.fraction,
        detail=f"attempt {job.attempt}: {detail}" if running and job.attempt > 1 else detail,
        milestone="" if state == "waiting" else milestone,
    )


def study_steps(study: lab_pb2.Study) -> list[Step]:
    """One bar a variant, then one a job."""
    return [_variant_step(variant) for variant in study.variants] + [_job_step(job) for job in study.jobs]


class Bars:
    """A group of bars, drawn while the `with` lasts."""

    def __init__(self, *, draw: bool | None = None, say: Callable[[str], None] = note) -> None:
        self._draw = sys.stderr.isatty() if draw is None else draw
        self._say = say
        self._said: dict[str, str] = {}
        self._tasks: dict[str, TaskID] = {}
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        if self._draw:
            from rich import progress

            self._progress = progress.Progress(
                progress.TextColumn("{task.description}", markup=False),
                progress.BarColumn(bar_width=28),
                progress.TaskProgressColumn(),
                progress.TimeElapsedColumn(),
                progress.TextColumn("{task.fields[detail]}", markup=False),
                console=error_console(),
            )
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, steps: Iterable[Step]) -> None:
        """Draws `steps` as they are now; those shown before and not named here stay."""
        for step in steps:
            if self._progress is not None:
                self._draw_step(self._progress, step)
            elif step.milestone and self._said.get(step.key) != step.milestone:
                self._said[step.key] = step.milestone
                self._say(f"{step.label}: {step.milestone}")

    def say(self, line: str) -> None:
        """A line above the bars."""
        if self._progress is not None:
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            self._say(line)

    def _draw_step(self, progress: Progress, step: Step) -> None:
        task = self._tasks.get(step.key)
        if task is None:
            task = self._tasks[step.key] = progress.add_task(step.label, total=None, detail="")
        if step.fraction is None:
            progress.update(task, detail=step.detail)
            return
        progress.update(task, total=1.0, completed=step.fraction, detail=step.detail)
        if step.fraction >= 1.0:
            progress.stop_task(task)
