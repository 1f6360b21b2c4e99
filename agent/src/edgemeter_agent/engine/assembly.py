"""From what was recorded of a variant to its result: pure, but for the files whose digests it takes."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from edgemeter_agent import verdict
from edgemeter_agent.board.observables import NO_METER
from edgemeter_agent.conditions.judge import Machine
from edgemeter_agent.conditions.settle import Settled
from edgemeter_agent.conditions.summary import summarize
from edgemeter_agent.engine import arrays
from edgemeter_agent.engine.record import TimedBlock, VariantRecord
from edgemeter_agent.statistics.intervals import Block, median_interval
from edgemeter_agent.statistics.outliers import count_outliers
from edgemeter_agent.statistics.percentiles import percentile
from edgemeter_protos.v1 import device_pb2, plan_pb2, result_pb2


@dataclass(frozen=True, kw_only=True)
class JobFacts:
    """What all variants of a job share."""

    plan: plan_pb2.Plan
    machine: Machine
    settled: Settled
    unreadable: Sequence[device_pb2.Observable]
    emulated_because: str | None
    harness_overhead_ns: float


def assemble(record: VariantRecord, facts: JobFacts, samples_path: str) -> result_pb2.Result:
    """Every field of the result, with an identity of its own."""
    kept = [block for block in record.blocks if block.seen.kept]
    conditions = summarize(
        [block.seen for block in record.blocks], facts.machine, facts.unreadable, facts.settled.waited_ns
    )
    result = result_pb2.Result(
        id=uuid.uuid4().hex,
        variant_id=record.variant.variant_id,
        plan=facts.plan,
        energy=result_pb2.Energy(status=result_pb2.ENERGY_STATUS_NO_METER, detail=NO_METER),
        peak_rss_bytes=record.peak_rss_bytes,
        harness_overhead_ns=facts.harness_overhead_ns,
        conditions=conditions,
        samples_digest=file_digest(samples_path) if samples_path else "",
        outputs_digest=file_digest(record.outputs_path) if record.outputs_path else "",
        evaluated_samples=record.evaluated_samples,
    )
    if record.runtime is not None:
        result.runtime.name, result.runtime.version = record.runtime.name, record.runtime.version
    if record.load_ns and record.first_inference_ns:
        result.cold.load_ns = int(median(record.load_ns))
        result.cold.first_inference_ns = int(median(record.first_inference_ns))
    if record.blocks:
        # Void numbers are shown as such: discarding everything must not end in nothing to look at.
        timed = kept or record.blocks
        result.latency.CopyFrom(summarize_latency(timed, record.batch_queries, facts.plan))
    result.verdict.CopyFrom(_verdict(record, facts, result))
    return result


def summarize_latency(
    blocks: Sequence[TimedBlock], batch_queries: int, plan: plan_pb2.Plan
) -> result_pb2.Latency:
    """Statistics over all samples of the blocks, which must hold at least one."""
    pooled = np.concatenate([block.latency_ns for block in blocks])
    interval = median_interval(
        [Block(process=block.process, samples=block.latency_ns.astype(np.float64)) for block in blocks],
        plan.seed,
    )
    return result_pb2.Latency(
        scenario=plan.scenario,
        samples=pooled.size,
        batch_queries=batch_queries,
        p50_ns=percentile(pooled, 50),
        p90_ns=percentile(pooled, 90),
        p99_ns=percentile(pooled, 99),
        mean_ns=float(pooled.mean()),
        min_ns=float(pooled.min()),
        max_ns=float(pooled.max()),
        ci95_low_ns=interval.low,
        ci95_high_ns=interval.high,
        outliers=count_outliers(pooled),
    )


def write_samples(path: str, blocks: Sequence[TimedBlock]) -> None:
    """All samples in the order in which they were taken, those of voided blocks too."""
    sizes = [block.latency_ns.size for block in blocks]
    arrays.write(
        path,
        {
            "latency_ns": np.concatenate([block.latency_ns for block in blocks]).astype(np.int64),
            "process": np.repeat(np.array([block.process for block in blocks], np.int32), sizes),
            "block": np.repeat(np.array([block.number for block in blocks], np.int32), sizes),
            "kept": np.repeat(np.array([block.seen.kept for block in blocks], np.bool_), sizes),
        },
    )


def file_digest(path: str) -> str:
    """SHA-256, lower-case hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _verdict(record: VariantRecord, facts: JobFacts, result: result_pb2.Result) -> result_pb2.Verdict:
    latency = result.latency
    interval_share = None
    if latency.p50_ns:
        interval_share = (latency.ci95_high_ns - latency.ci95_low_ns) / latency.p50_ns
    return verdict.decide(
        verdict.Facts(
            failure=record.failure,
            evaluation_failure=record.evaluation_failure,
            emulated_because=facts.emulated_because,
            blocks_planned=facts.plan.processes * facts.plan.blocks,
            blocks_kept=result.conditions.blocks_kept,
            void_reasons=dict(result.conditions.void_reasons),
            started_hot=verdict.HOT in facts.settled.unsettled,
            samples=latency.samples,
            interval_share=interval_share,
        )
    )
