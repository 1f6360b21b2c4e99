"""A job: its variants admitted, measured together and evaluated, one result each."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgemeter_agent.board.emulation import emulated_because
from edgemeter_agent.board.facts import architecture
from edgemeter_agent.board.governor import performance
from edgemeter_agent.board.identity import available_memory_bytes
from edgemeter_agent.board.observables import unreadable
from edgemeter_agent.board.processor import tick_ns
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.conditions.judge import Machine, judge_block
from edgemeter_agent.conditions.settle import settle
from edgemeter_agent.conditions.summary import SeenBlock
from edgemeter_agent.engine.assembly import JobFacts, assemble, file_digest, write_samples
from edgemeter_agent.engine.order import block_order
from edgemeter_agent.engine.record import TimedBlock, VariantRecord
from edgemeter_agent.engine.sizing import (
    batch_queries,
    guess_peak_bytes,
    holds_all,
    patience_s,
    untimed_queries,
)
from edgemeter_agent.engine.variant_process import DeadlineError, VariantError, VariantProcess
from edgemeter_agent.runtimes import NULL
from edgemeter_agent.runtimes.choice import NoRuntime, choose_runtime
from edgemeter_agent.runtimes.installed import installed_runtimes
from edgemeter_protos.v1 import engine_pb2, plan_pb2

Emit = Callable[[engine_pb2.EngineEvent], None]

NULL_SAMPLES = 10_000
CALIBRATION_SAMPLES = 20
"""Enough for a median that tells whether queries must be batched."""


class JobError(Exception):
    """The job as a whole can't be done; the text is a line for the user."""


def run_job(job: engine_pb2.EngineJob, emit: Emit, board: BoardRoot | None = None) -> None:
    """Measures all variants and emits progress, a result for each variant in the job's order, and done; or,
    where the job itself can't be done, a failure.

    A variant that fails gets a void verdict that says why; the others go on. Must be called in the main
    thread: variant processes die with the thread that started them. Interrupted by an exception
    (KeyboardInterrupt, SystemExit), it ends its processes and puts the governor back.
    """
    try:
        _Job(job, emit, board or BoardRoot()).run()
    except DeadlineError:
        detail = f"the job ran longer than its deadline of {job.plan.deadline_ns / 1e9:.0f} s"
        emit(engine_pb2.EngineEvent(failure=engine_pb2.EngineFailure(detail=detail)))
    except JobError as failed:
        emit(engine_pb2.EngineEvent(failure=engine_pb2.EngineFailure(detail=str(failed))))
    except OSError as error:
        failure = engine_pb2.EngineFailure(detail=board_failure(error), device_failed=True)
        emit(engine_pb2.EngineEvent(failure=failure))
    else:
        emit(engine_pb2.EngineEvent(done=engine_pb2.EngineDone()))


def board_failure(error: OSError) -> str:
    """One line: "the board could not go on: /var/…/samples-0.npz: No space left on device; free some"."""
    what = error.strerror or str(error) or type(error).__name__
    where = f"{error.filename}: " if error.filename else ""
    hint = "; free some" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return f"the board could not go on: {where}{what}{hint}"


class _Job:
    def __init__(self, job: engine_pb2.EngineJob, emit: Emit, board: BoardRoot) -> None:
        self._job = job
        self._plan: plan_pb2.Plan = job.plan
        self._emit = emit
        self._board = board
        self._deadline_ns = time.monotonic_ns() + self._plan.deadline_ns
        self._machine = Machine(
            cpu_count=os.cpu_count() or 1, threads=max(self._plan.threads, 1), tick_ns=tick_ns()
        )
        self._records = [VariantRecord(variant=variant) for variant in job.variants]
        self._overhead_ns = 0.0
        self._empty_peak_bytes = 0
        steps_a_variant = self._plan.processes * self._plan.blocks + bool(job.evaluation_path)
        self._steps = 1 + len(self._records) * steps_a_variant
        self._steps_done = 0

    def run(self) -> None:
        if not self._records:
            raise JobError("the job has no variants")
        if self._machine.threads > self._machine.cpu_count:
            raise JobError(
                f"the plan wants {self._machine.threads} threads, and this board has"
                f" {self._machine.cpu_count} processors: threads that wait for each other measure nothing"
            )
        Path(self._job.work_dir).mkdir(parents=True, exist_ok=True)
        self._progress("checking artifacts")
        for record in self._records:
            self._admit(record)
        with performance(self._board):
            self._progress("waiting for the board to settle")
            settled = settle(self._board, self._machine, self._plan.settle_timeout_ns)
            self._progress("measuring the harness")
            self._measure_harness()
            self._step()
            for number in range(self._plan.processes):
                self._round(number)
            if self._job.evaluation_path:
                for index, record in enumerate(self._records):
                    self._evaluate(index, record)
        facts = JobFacts(
            plan=self._plan,
            machine=self._machine,
            settled=settled,
            unreadable=unreadable(self._board),
            emulated_because=emulated_because(self._board, architecture(), os.environ),
            harness_overhead_ns=self._overhead_ns,
        )
        for index, record in enumerate(self._records):
            self._report(index, record, facts)

    def _admit(self, record: VariantRecord) -> None:
        variant = record.variant
        try:
            record.artifact_bytes = Path(variant.artifact_path).stat().st_size
            digest = file_digest(variant.artifact_path) if variant.artifact_digest else ""
        except OSError as error:
            record.failure = ("artifact_unreadable", f"{variant.artifact_path}: {error.strerror}")
            return
        if digest != variant.artifact_digest:
            record.failure = (
                "artifact_damaged",
                f"the artifact's digest is {digest}, and {variant.artifact_digest} was announced",
            )
            return
        chosen = choose_runtime(variant.runtimes, installed_runtimes(), variant.format)
        if isinstance(chosen, NoRuntime):
            record.failure = ("no_runtime", chosen.reason)
        else:
            record.runtime = chosen

    def _measure_harness(self) -> None:
        """The same loop over the empty runtime, in a process like the variants'."""
        try:
            with VariantProcess(self._board, self._deadline_ns) as process:
                process.load(engine_pb2.ChildLoad(runtime=NULL.name, threads=1))
                process.golden(engine_pb2.ChildGolden())
                block = process.block(
                    engine_pb2.ChildBlock(
                        warmup_min_queries=NULL_SAMPLES, min_queries=NULL_SAMPLES, batch_queries=1
                    )
                )
                self._empty_peak_bytes = process.exit()
        except VariantError as failed:
            raise JobError(f"the harness can't measure itself: {failed.detail}") from None
        self._overhead_ns = float(np.median(np.array(block.latency_ns)))

    def _round(self, number: int) -> None:
        """Fresh processes and the blocks of one round; a block that was voided is taken again at its end."""
        passes = block_order(len(self._records), self._plan.blocks, self._plan.seed, number)
        queue = deque(index for one in passes for index in one)
        peaks = [self._peak_bytes(record) for record in self._records]
        together = holds_all(available_memory_bytes(self._board), peaks)
        planned = len(queue)
        with contextlib.ExitStack() as stack:
            processes: dict[int, VariantProcess] = {}
            while queue:
                index = queue.popleft()
                record = self._records[index]
                self._progress(self._phase(record))
                if record.failure is None and self._block(index, processes, stack, together) is False:
                    queue.append(index)
                if planned > 0:
                    planned -= 1
                    self._step()
            for index, process in processes.items():
                self._finish(self._records[index], process)

    def _peak_bytes(self, record: VariantRecord) -> int:
        return record.peak_rss_bytes or guess_peak_bytes(self._empty_peak_bytes, record.artifact_bytes)

    def _phase(self, record: VariantRecord) -> str:
        total = self._plan.processes * self._plan.blocks
        taken = min(sum(block.seen.kept for block in record.blocks) + 1, total)
        return f"{record.name}: block {taken} of {total}"

    def _block(
        self, index: int, processes: dict[int, VariantProcess], stack: contextlib.ExitStack, together: bool
    ) -> bool:
        """Takes a block in the variant's process, started where there is none. False where it is to be
        repeated."""
        record = self._records[index]
        try:
            process = processes.get(index)
            if process is None:
                process = stack.enter_context(VariantProcess(self._board, self._deadline_ns))
                processes[index] = process
                self._start(record, process)
            reasons = self._time_block(record, process)
            if not together:
                self._finish(record, processes.pop(index))
        except VariantError as failed:
            record.failure = (failed.code, failed.detail)
            processes.pop(index).end()
            return True
        if reasons and record.repeats < self._plan.max_voided_blocks:
            record.repeats += 1
            return False
        return True

    def _start(self, record: VariantRecord, process: VariantProcess) -> None:
        """Loads, checks the golden pair and, the first time, finds how many queries go into a sample."""
        variant = record.variant
        loaded = process.load(self._load_request(record))
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
        record.processes += 1
        record.load_ns.append(loaded.load_ns)
        record.first_inference_ns.append(checked.first_inference_ns)
        if not record.batch_queries:
            request = engine_pb2.ChildBlock(min_queries=CALIBRATION_SAMPLES, batch_queries=1)
            tried = process.block(request, patience_s(request, checked.first_inference_ns))
            record.query_ns = float(np.median(np.array(tried.latency_ns)))
            record.batch_queries = batch_queries(record.query_ns, self._overhead_ns)

    def _load_request(self, record: VariantRecord) -> engine_pb2.ChildLoad:
        return engine_pb2.ChildLoad(
            runtime=record.runtime.name if record.runtime else "",
            artifact_path=record.variant.artifact_path,
            threads=self._machine.threads,
        )

    def _time_block(self, record: VariantRecord, process: VariantProcess) -> list[str]:
        """Reasons for which the block is void."""
        plan = self._plan
        request = engine_pb2.ChildBlock(
            warmup_min_queries=plan.warmup_min_queries,
            warmup_min_duration_ns=plan.warmup_min_duration_ns,
            min_queries=plan.block_min_queries,
            min_duration_ns=plan.block_min_duration_ns,
            batch_queries=record.batch_queries,
        )
        request.untimed_queries = untimed_queries(request, record.query_ns)
        done = process.block(request, patience_s(request, record.query_ns))
        reasons = judge_block(done.before, done.after, self._machine)
        number = record.processes - 1
        record.blocks.append(
            TimedBlock(
                process=number,
                number=sum(block.process == number for block in record.blocks),
                latency_ns=np.array(done.latency_ns, np.int64),
                seen=SeenBlock(before=done.before, after=done.after, void_reasons=tuple(reasons)),
            )
        )
        return reasons

    def _finish(self, record: VariantRecord, process: VariantProcess) -> None:
        try:
            record.peak_rss_bytes = max(record.peak_rss_bytes, process.exit())
        except VariantError as failed:
            record.failure = record.failure or (failed.code, failed.detail)

    def _evaluate(self, index: int, record: VariantRecord) -> None:
        """In a process of its own, so that the evaluation data are not taken for the model's memory."""
        if record.failure is None:
            self._progress(f"{record.name}: evaluation")
            path = str(Path(self._job.work_dir) / f"outputs-{index}.npz")
            try:
                with VariantProcess(self._board, self._deadline_ns) as process:
                    process.load(self._load_request(record))
                    done = process.evaluate(
                        engine_pb2.ChildEvaluate(
                            inputs_path=self._job.evaluation_path,
                            outputs_path=path,
                            samples=self._plan.quality_samples,
                            preprocessing=record.variant.preprocessing,
                        )
                    )
                record.outputs_path, record.evaluated_samples = path, done.samples
            except VariantError as failed:
                record.evaluation_failure = ("evaluation_failed", failed.detail)
        self._step()

    def _report(self, index: int, record: VariantRecord, facts: JobFacts) -> None:
        samples_path = ""
        if record.blocks:
            samples_path = str(Path(self._job.work_dir) / f"samples-{index}.npz")
            write_samples(samples_path, record.blocks)
        result = assemble(record, facts, samples_path)
        event = engine_pb2.EngineResult(
            result=result, samples_path=samples_path, outputs_path=record.outputs_path
        )
        self._emit(engine_pb2.EngineEvent(result=event))

    def _step(self) -> None:
        self._steps_done += 1

    def _progress(self, phase: str) -> None:
        progress = engine_pb2.EngineProgress(fraction=self._steps_done / self._steps, phase=phase)
        self._emit(engine_pb2.EngineEvent(progress=progress))
