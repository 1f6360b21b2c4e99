"""Timed blocks of all variants, interleaved, in as many fresh processes as the plan wants."""

from __future__ import annotations

import contextlib
from collections import Counter, deque

import numpy as np

from edgemeter_agent.board.identity import available_memory_bytes
from edgemeter_agent.conditions.judge import judge_block
from edgemeter_agent.conditions.summary import SeenBlock
from edgemeter_agent.engine.context import JobContext, first_query
from edgemeter_agent.engine.order import block_order
from edgemeter_agent.engine.record import TimedBlock, VariantRecord
from edgemeter_agent.engine.sizing import (
    batch_queries,
    guess_peak_bytes,
    holds_all,
    patience_s,
    untimed_queries,
)
from edgemeter_agent.engine.variant_process import VariantError, VariantProcess
from edgemeter_protos.v1 import engine_pb2, plan_pb2

CALIBRATION_SAMPLES = 20
"""Enough for a median that tells whether queries must be batched."""
CALIBRATION_GENERATIONS = 1
"""Of a model that writes text: none is so short that it must be."""


class LatencyPhase:
    """Fills the records' blocks, load times, first inferences and peaks."""

    def __init__(self, context: JobContext, records: list[VariantRecord]) -> None:
        self._context = context
        self._plan = context.plan
        self._records = records
        self._number = 0
        context.progress.plan(len(records) * self._plan.processes * self._plan.blocks)

    def run(self) -> None:
        for number in range(self._plan.processes):
            self._number = number
            self._round()

    def _round(self) -> None:
        """Fresh processes and the blocks of one round; a block that was voided is taken again at its end."""
        passes = block_order(len(self._records), self._plan.blocks, self._plan.seed, self._number)
        queue = deque((index, number) for number, one in enumerate(passes) for index in one)
        peaks = [self._peak_bytes(record) for record in self._records]
        together = holds_all(available_memory_bytes(self._context.board), peaks)
        planned = len(queue)
        repeated: Counter[int] = Counter()
        with contextlib.ExitStack() as stack:
            processes: dict[int, VariantProcess] = {}
            while queue:
                index, place = queue.popleft()
                record = self._records[index]
                self._context.progress.tell(self._phase(record))
                if record.failure is None and not self._block(index, place, processes, stack, together):
                    # A pass of its own: its neighbours in time are not those of the voided block.
                    queue.append((index, self._plan.blocks + repeated[index]))
                    repeated[index] += 1
                if planned > 0:
                    planned -= 1
                    self._context.progress.step()
            for index, process in processes.items():
                finish(self._records[index], process)

    def _peak_bytes(self, record: VariantRecord) -> int:
        empty = self._context.empty_peak_bytes
        return record.peak_rss_bytes or guess_peak_bytes(empty, record.artifact_bytes)

    def _phase(self, record: VariantRecord) -> str:
        total = self._plan.processes * self._plan.blocks
        taken = min(sum(block.seen.kept for block in record.blocks) + 1, total)
        return f"{record.name}: block {taken} of {total}"

    def _block(
        self,
        index: int,
        place: int,
        processes: dict[int, VariantProcess],
        stack: contextlib.ExitStack,
        together: bool,
    ) -> bool:
        """Takes a block in the variant's process, started where there is none. False where it is to be
        repeated."""
        record = self._records[index]
        try:
            process = processes.get(index)
            if process is None:
                process = stack.enter_context(self._context.process())
                processes[index] = process
                self._start(record, process)
            reasons = self._time_block(record, place, process)
            if not together:
                finish(record, processes.pop(index))
        except VariantError as failed:
            record.failure = (failed.code, failed.detail)
            processes.pop(index).end()
            return True
        if reasons and record.repeats < self._plan.max_voided_blocks:
            record.repeats += 1
            return False
        return True

    def _start(self, record: VariantRecord, process: VariantProcess) -> None:
        """Loads, runs once and, the first time, finds how many queries go into a sample."""
        start(self._context, record, process)
        if not record.batch_queries:
            calibrate(self._context, record, process)

    def _time_block(self, record: VariantRecord, number: int, process: VariantProcess) -> list[str]:
        """Reasons for which the block is void."""
        request = block_request(record.plan_of(self._plan), record, f"{self._number}/{number}")
        done = process.block(request, patience_s(request, record.query_ns))
        reasons = judge_block(done.before, done.after, self._context.machine)
        record.blocks.append(
            TimedBlock(
                process=self._number,
                number=number,
                latency_ns=np.array(done.latency_ns, np.int64),
                queueing_ns=np.array(done.queueing_ns, np.int64),
                first_token_ns=np.array(done.first_token_ns, np.int64),
                most_in_flight=done.most_in_flight,
                unserved_queries=done.unserved_queries,
                last_arrival_ns=done.last_arrival_ns,
                samples=done.samples,
                duration_ns=done.duration_ns,
                seen=SeenBlock(before=done.before, after=done.after, void_reasons=tuple(reasons)),
            )
        )
        return reasons


def calibrate(context: JobContext, record: VariantRecord, process: VariantProcess) -> None:
    """Finds what a query takes, about, and how many go into a sample."""
    request = engine_pb2.ChildBlock(
        scenario=plan_pb2.SCENARIO_SINGLE_STREAM,
        warmup_min_queries=record.plan_of(context.plan).warmup_min_queries,
        min_queries=CALIBRATION_GENERATIONS if record.writes_text else CALIBRATION_SAMPLES,
        batch_queries=1,
        samples_per_query=1,
    )
    first_ns = record.first_inference_ns[-1] if record.first_inference_ns else 0
    tried = process.block(request, patience_s(request, first_ns))
    record.query_ns = float(np.median(np.array(tried.latency_ns)))
    if record.writes_text:
        written_ns = record.query_ns - float(np.median(np.array(tried.first_token_ns)))
        record.decode_ns = written_ns / max(record.variant.generation.new_tokens - 1, 1)
    single = context.plan.scenario == plan_pb2.SCENARIO_SINGLE_STREAM and not record.writes_text
    record.batch_queries = batch_queries(record.query_ns, context.overhead_ns) if single else 1


def block_request(plan: plan_pb2.Plan, record: VariantRecord, place: str) -> engine_pb2.ChildBlock:
    """A block of the plan's scenario. `place` gives each block arrivals of its own, alike for all
    variants."""
    request = engine_pb2.ChildBlock(
        scenario=plan.scenario,
        warmup_min_queries=plan.warmup_min_queries,
        warmup_min_duration_ns=plan.warmup_min_duration_ns,
        min_queries=plan.block_min_queries,
        min_duration_ns=plan.block_min_duration_ns,
        batch_queries=record.batch_queries,
        samples_per_query=plan.samples_per_query,
        target_qps=record.target_qps or plan.target_qps,
        seed=arrival_seed(plan.seed, place),
    )
    request.untimed_queries = untimed_queries(request, record.query_ns, max(plan.batch_size, 1))
    return request


def arrival_seed(seed: int, place: str) -> int:
    """64 bits out of the plan's seed and a block's place."""
    return int(np.random.SeedSequence([seed, *place.encode()]).generate_state(1, np.uint64)[0])


def start(context: JobContext, record: VariantRecord, process: VariantProcess) -> None:
    """Loads the variant into a fresh process and runs it once: a cold start."""
    loaded = process.load(context.load_request(record))
    checked = first_query(record, process)
    record.load_ns.append(loaded.load_ns)
    record.first_inference_ns.append(checked.first_inference_ns)
    record.loaded_peak_bytes = max(record.loaded_peak_bytes, checked.peak_rss_bytes)
    record.ran_on = loaded.runtime.ran_on
    record.cpus = tuple(loaded.cpus)
    record.imported_peak_bytes = max(record.imported_peak_bytes, loaded.imported_peak_rss_bytes)
    if loaded.HasField("arena_bytes"):
        record.arena_bytes = loaded.arena_bytes
    record.arena_detail = loaded.arena_detail


def finish(record: VariantRecord, process: VariantProcess) -> None:
    try:
        record.peak_rss_bytes = max(record.peak_rss_bytes, process.exit())
    except VariantError as failed:
        record.failure = record.failure or (failed.code, failed.detail)
