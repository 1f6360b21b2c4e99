"""What all phases of a job share."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgemeter_agent.board import accelerator
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.conditions.machine import ON_PROCESSORS, Machine, machine_of
from edgemeter_agent.engine.record import VariantRecord
from edgemeter_agent.engine.variant_process import VariantError, VariantProcess
from edgemeter_protos.text_plans import refusal
from edgemeter_protos.v1 import engine_pb2, plan_pb2

Emit = Callable[[engine_pb2.EngineEvent], None]


class JobError(Exception):
    """The job as a whole can't be done; the text is a line for the user."""


class Progress:
    """Tells how far a job is: each phase says beforehand how many steps it takes."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._planned = 0
        self._done = 0

    def plan(self, steps: int) -> None:
        self._planned += steps

    def step(self) -> None:
        self._done = min(self._done + 1, self._planned)

    def tell(self, phase: str) -> None:
        progress = engine_pb2.EngineProgress(fraction=self._done / max(self._planned, 1), phase=phase)
        self._emit(engine_pb2.EngineEvent(progress=progress))


@dataclass(kw_only=True)
class JobContext:
    """One job on one board.

    Attributes:
        deadline_ns: CLOCK_MONOTONIC; nothing is waited for beyond it.
        overhead_ns: the harness's own share of a query, once it was measured.
        empty_peak_bytes: VmHWM of a process that holds no model, likewise.
    """

    job: engine_pb2.EngineJob
    board: BoardRoot
    machine: Machine
    deadline_ns: int
    progress: Progress
    overhead_ns: float = 0.0
    empty_peak_bytes: int = 0

    @property
    def plan(self) -> plan_pb2.Plan:
        return self.job.plan

    def path(self, name: str) -> str:
        """Of a file that goes with a result."""
        return str(Path(self.job.work_dir) / name)

    def process(self) -> VariantProcess:
        return VariantProcess(self.board, self.deadline_ns)

    def load_request(self, record: VariantRecord, *, for_speed: bool = True) -> engine_pb2.ChildLoad:
        """A model that writes text is loaded in one of two ways: for speed, or for what it makes of inputs.
        One process is not asked for both."""
        generation = record.variant.generation if for_speed and record.writes_text else None
        return engine_pb2.ChildLoad(
            runtime=record.runtime.name if record.runtime else "",
            artifact_path=record.model_path or record.variant.artifact_path,
            threads=self.machine.threads,
            batch_size=max(self.plan.batch_size, 1),
            accelerator=self.plan.accelerator,
            affinity_cpus=self.plan.affinity_cpus,
            generation=generation,
        )

    @contextlib.contextmanager
    def ready(self, record: VariantRecord) -> Iterator[VariantProcess]:
        """A fresh process that has loaded the variant and holds a sample, checked anew."""
        with self.process() as process:
            process.load(self.load_request(record))
            first_query(record, process)
            yield process


def context_of(job: engine_pb2.EngineJob, emit: Emit, board: BoardRoot) -> JobContext:
    """Raises JobError for a plan that this board's processors can't serve."""
    plan = job.plan
    count = os.cpu_count() or 1
    strangers = [cpu for cpu in plan.affinity_cpus if cpu >= count]
    if strangers:
        raise JobError(
            f"the plan wants processor {strangers[0]}, and this board has {count}: they are numbered from 0"
        )
    refused = refusal(plan) if any(each.HasField("generation") for each in job.variants) else None
    if refused:
        raise JobError(refused)
    usable = len(plan.affinity_cpus) or count
    threads = max(plan.threads, 1)
    if threads > usable:
        raise JobError(
            f"the plan wants {threads} threads, and this board has {usable} processors"
            f"{' for them' if plan.affinity_cpus else ''}: threads that wait for each other measure nothing"
        )
    accelerated = plan.accelerator not in ON_PROCESSORS
    users = accelerator.users(board).value if accelerated else None
    return JobContext(
        job=job,
        board=board,
        machine=machine_of(board, plan, accelerated, users),
        deadline_ns=time.monotonic_ns() + plan.deadline_ns,
        progress=Progress(emit),
    )


def first_query(record: VariantRecord, process: VariantProcess) -> engine_pb2.ChildGoldenChecked:
    """Of a process that was loaded for speed; leaves it with a sample. Raises VariantError."""
    if record.writes_text:
        # Its golden pair was checked in a process of its own.
        return process.golden(engine_pb2.ChildGolden())
    return check_golden(record, process)


def check_golden(record: VariantRecord, process: VariantProcess) -> engine_pb2.ChildGoldenChecked:
    """Raises VariantError ("golden_mismatch") with both numbers."""
    variant = record.variant
    checked = process.golden(
        engine_pb2.ChildGolden(
            path=variant.golden_path,
            absolute_tolerance=variant.golden.absolute_tolerance,
            relative_tolerance=variant.golden.relative_tolerance,
        )
    )
    if not checked.matches:
        raise VariantError(
            "golden_mismatch",
            f"the device gave {checked.actual:.9g} where the golden output is {checked.expected:.9g};"
            f" the largest difference is {checked.max_absolute_error:.3g}, the tolerance"
            f" {variant.golden.absolute_tolerance:.3g}"
            f" + {variant.golden.relative_tolerance:.3g} * |golden|",
        )
    return checked
