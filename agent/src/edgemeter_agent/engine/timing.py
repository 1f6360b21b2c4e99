"""Latencies of blocks in numbers: pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgemeter_agent.engine.record import TimedBlock, VariantRecord
from edgemeter_agent.statistics.bootstrap import Block
from edgemeter_agent.statistics.outliers import count_outliers
from edgemeter_agent.statistics.percentiles import percentile
from edgemeter_agent.statistics.summaries import percentile_summaries
from edgemeter_protos.v1 import plan_pb2, result_pb2


def summarize_latency(
    blocks: Sequence[TimedBlock], batch_queries: int, plan: plan_pb2.Plan
) -> result_pb2.Latency:
    """Statistics over all samples of the blocks, which must hold at least one."""
    pooled = np.concatenate([block.latency_ns for block in blocks])
    percentiles = percentile_summaries(
        [Block(process=block.process, samples=block.latency_ns.astype(np.float64)) for block in blocks],
        plan.seed,
        batch_queries=batch_queries,
    )
    value_ns = {each.percent: each.value_ns for each in percentiles}
    middle = next(each for each in percentiles if each.percent == 50)
    return result_pb2.Latency(
        scenario=plan.scenario,
        samples=pooled.size,
        batch_queries=batch_queries,
        batch_size=max(plan.batch_size, 1),
        samples_per_query=max(plan.samples_per_query, 1),
        p50_ns=value_ns[50],
        p90_ns=value_ns[90],
        p99_ns=value_ns[99],
        mean_ns=float(pooled.mean()),
        min_ns=float(pooled.min()),
        max_ns=float(pooled.max()),
        ci95_low_ns=middle.ci95_low_ns,
        ci95_high_ns=middle.ci95_high_ns,
        outliers=count_outliers(pooled),
        percentiles=percentiles,
    )


def summarize_serving(
    blocks: Sequence[TimedBlock], record: VariantRecord, plan: plan_pb2.Plan
) -> result_pb2.Serving:
    """Of a server's blocks, which must hold at least one query."""
    queueing_ns = np.concatenate([block.queueing_ns for block in blocks])
    latency_ns = np.concatenate([block.latency_ns for block in blocks])
    unserved = sum(block.unserved_queries for block in blocks)
    duration_ns = sum(block.duration_ns for block in blocks)
    serving = result_pb2.Serving(
        target_qps=record.target_qps,
        achieved_qps=(latency_ns.size - unserved) * 1e9 / max(duration_ns, 1),
        queueing_p50_ns=percentile(queueing_ns, 50),
        queueing_p99_ns=percentile(queueing_ns, 99),
        most_in_flight=max(block.most_in_flight for block in blocks),
        highest_qps=record.highest_qps,
        probes=record.probes,
    )
    if plan.latency_bound_ns:
        bounded_ns = percentile(latency_ns, plan.latency_bound_percent)
        serving.bound_held = not unserved and bounded_ns <= plan.latency_bound_ns
    return serving
