"""The percentiles that a result holds, with all that is said of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgemeter_agent.statistics.bootstrap import Block
from edgemeter_agent.statistics.early_stopping import early_stopping_estimate
from edgemeter_agent.statistics.intervals import percentile_intervals
from edgemeter_agent.statistics.percentiles import percentile
from edgemeter_protos.v1 import result_pb2

PERCENTS = (50.0, 90.0, 95.0, 99.0, 99.9)


def percentile_summaries(
    blocks: Sequence[Block], seed: int, *, batch_queries: int = 1, percents: Sequence[float] = PERCENTS
) -> list[result_pb2.Percentile]:
    """p50, p90, p95, p99 and p99.9 of all samples, or others, in nanoseconds, each with its 95 % interval and
    LoadGen's early-stopping estimate.

    `batch_queries`: queries that a sample is the mean of. Where there are several, there is no early stopping
    estimate: the bound is one on single queries. Raises ValueError for no samples.
    """
    intervals = percentile_intervals(blocks, percents, seed)
    ordered = np.sort(np.concatenate([block.samples for block in blocks]).astype(np.float64))
    return [
        result_pb2.Percentile(
            percent=percent,
            value_ns=percentile(ordered, percent),
            ci95_low_ns=interval.low,
            ci95_high_ns=interval.high,
            early_stopping_ns=early_stopping_estimate(ordered, percent) if batch_queries == 1 else None,
        )
        for percent, interval in zip(percents, intervals, strict=True)
    ]
