"""From what was recorded of a variant to its result: pure, but for the files whose digests it takes."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from edgemeter_agent import verdict
from edgemeter_agent.conditions.doubts import doubts
from edgemeter_agent.conditions.evidence import evidence
from edgemeter_agent.conditions.judge import Machine
from edgemeter_agent.conditions.settle import Settled
from edgemeter_agent.conditions.summary import summarize
from edgemeter_agent.engine import arrays
from edgemeter_agent.engine.admission import file_digest
from edgemeter_agent.engine.record import TimedBlock, VariantRecord
from edgemeter_agent.engine.text_speed import summarize_text_speed
from edgemeter_agent.engine.timing import summarize_latency, summarize_serving
from edgemeter_agent.statistics.comparison import compare
from edgemeter_agent.statistics.outliers import mark_outliers
from edgemeter_agent.statistics.throughput import throughput
from edgemeter_protos.v1 import device_pb2, plan_pb2, result_pb2


@dataclass(frozen=True, kw_only=True)
class JobFacts:
    """What all variants of a job share.

    Attributes:
        setting_before, setting_after: what the board was set to before and after the job.
        governor_why_not: why the governor could not be set; None where it was.
        harness_overhead_ns: median of the same loop over an empty runtime, a query.
        empty_peak_bytes: VmHWM of a process without a runtime.
    """

    plan: plan_pb2.Plan
    machine: Machine
    settled: Settled
    setting_before: result_pb2.Snapshot
    setting_after: result_pb2.Snapshot
    unreadable: Sequence[device_pb2.Observable]
    governor_why_not: str | None
    emulated_because: str | None
    harness_overhead_ns: float


def compare_all(records: Sequence[VariantRecord]) -> dict[str, result_pb2.Comparison]:
    """Of each variant with the first, by variant's id; without those that have no kept block beside one of
    the first's."""
    kept = {
        record.variant.variant_id: [block for block in record.blocks if block.seen.kept] for record in records
    }
    baseline_id, *others = kept
    return compare(kept[baseline_id], {name: kept[name] for name in others}, baseline_id)


def assemble(
    record: VariantRecord, facts: JobFacts, comparison: result_pb2.Comparison | None, samples_path: str
) -> result_pb2.Result:
    """Every field of the result, with an identity of its own."""
    kept = [block for block in record.blocks if block.seen.kept]
    seen = [block.seen for block in record.blocks]
    plan = record.plan_of(facts.plan)
    result = result_pb2.Result(
        id=uuid.uuid4().hex,
        variant_id=record.variant.variant_id,
        plan=plan,
        energy=record.energy,
        peak_rss_bytes=record.peak_rss_bytes,
        harness_overhead_ns=facts.harness_overhead_ns,
        conditions=summarize(
            seen,
            facts.machine,
            facts.unreadable,
            facts.settled.waited_ns,
            facts.setting_before,
            facts.setting_after,
        ),
        samples_digest=file_digest(samples_path) if samples_path else "",
        outputs_digest=file_digest(record.outputs_path) if record.outputs_path else "",
        trace_digest=file_digest(record.trace_path) if record.trace_path else "",
        evaluated_samples=record.evaluated_samples,
        operators=record.operators,
        sustained=record.sustained,
        comparison=comparison,
    )
    result.conditions.cpus.extend(record.cpus)
    if record.runtime is not None:
        result.runtime.name, result.runtime.version = record.runtime.name, record.runtime.version
        result.runtime.ran_on = record.ran_on
    if record.peak_rss_bytes:
        result.memory.CopyFrom(_memory(record))
    if record.load_ns and record.first_inference_ns:
        result.cold.CopyFrom(_cold(record))
    # Void numbers are shown as such: discarding everything must not end in nothing to look at.
    timed = kept or record.blocks
    if timed:
        result.latency.CopyFrom(summarize_latency(timed, record.batch_queries, plan))
        if record.writes_text:
            result.text_speed.CopyFrom(summarize_text_speed(timed, record.variant.generation, plan.seed))
        if facts.plan.scenario in (plan_pb2.SCENARIO_OFFLINE, plan_pb2.SCENARIO_MULTI_STREAM):
            result.throughput.CopyFrom(throughput(timed, facts.plan.seed))
        if facts.plan.scenario == plan_pb2.SCENARIO_SERVER:
            result.serving.CopyFrom(summarize_serving(timed, record, facts.plan))
    result.verdict.CopyFrom(_verdict(record, facts, result))
    return result


def write_samples(path: str, blocks: Sequence[TimedBlock]) -> None:
    """All samples in the order in which they were taken, those of voided blocks too."""
    sizes = [block.latency_ns.size for block in blocks]
    latency_ns = np.concatenate([block.latency_ns for block in blocks]).astype(np.int64)
    named: dict[str, arrays.Array] = {
        "latency_ns": latency_ns,
        "process": np.repeat(np.array([block.process for block in blocks], np.int32), sizes),
        "block": np.repeat(np.array([block.number for block in blocks], np.int32), sizes),
        "kept": np.repeat(np.array([block.seen.kept for block in blocks], np.bool_), sizes),
        "outlier": mark_outliers(latency_ns),
    }
    if any(block.queueing_ns.size for block in blocks):
        named["queueing_ns"] = np.concatenate([block.queueing_ns for block in blocks]).astype(np.int64)
    if any(block.first_token_ns.size for block in blocks):
        named["first_token_ns"] = np.concatenate([block.first_token_ns for block in blocks]).astype(np.int64)
    arrays.write(path, named)


def _memory(record: VariantRecord) -> result_pb2.Memory:
    return result_pb2.Memory(
        peak_rss_bytes=record.peak_rss_bytes,
        empty_peak_rss_bytes=record.imported_peak_bytes,
        model_bytes=max(record.loaded_peak_bytes - record.imported_peak_bytes, 0),
        arena_bytes=record.arena_bytes,
        arena_detail=record.arena_detail,
    )


def _cold(record: VariantRecord) -> result_pb2.Cold:
    return result_pb2.Cold(
        load_ns=int(median(record.load_ns)),
        first_inference_ns=int(median(record.first_inference_ns)),
        processes=len(record.load_ns),
        load_max_ns=max(record.load_ns),
        first_inference_max_ns=max(record.first_inference_ns),
    )


def _verdict(record: VariantRecord, facts: JobFacts, result: result_pb2.Result) -> result_pb2.Verdict:
    latency = result.latency
    interval_share = None
    if latency.p50_ns:
        interval_share = (latency.ci95_high_ns - latency.ci95_low_ns) / latency.p50_ns
    seen = [block.seen for block in record.blocks]
    doubted = doubts(seen, facts.machine, facts.setting_before, facts.setting_after, facts.governor_why_not)
    return verdict.decide(
        verdict.Facts(
            failure=record.failure,
            evaluation_failure=record.evaluation_failure,
            emulated_because=facts.emulated_because,
            blocks_planned=facts.plan.processes * facts.plan.blocks,
            blocks_kept=result.conditions.blocks_kept,
            void_reasons=dict(result.conditions.void_reasons),
            evidence=evidence(seen, facts.machine),
            doubts=(*doubted.degraded, *record.energy_doubts),
            notes=doubted.notes,
            started_hot=verdict.HOT in facts.settled.unsettled,
            samples=latency.samples,
            interval_share=interval_share,
            energy=record.energy,
            require_energy=facts.plan.require_energy,
            serving=result.serving if result.HasField("serving") else None,
        )
    )
