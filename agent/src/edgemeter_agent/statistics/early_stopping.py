"""MLPerf LoadGen's early stopping: a latency that a percentile does not exceed, with 99 % confidence.

As MLPerf Inference's rules define it (inference_rules.adoc, appendix "Early Stopping Criterion") and LoadGen
computes it for single-stream and multi-stream (loadgen/early_stopping.cc and results.cc): with tolerance 0,
t overlatency queries are allowed among n if the binomial probability of t or fewer, were the percentile's
share exactly missed, is below 1 %. The t - 1 highest latencies are discarded, and the highest that remains is
the estimate. LoadGen looks for the fewest queries that allow t, for t = 1, 2, ...; the largest t that n
queries allow is the same number, and found at once.

It holds for independent queries of one process, as LoadGen takes them. Where processes or blocks differ, the
percentile over all of them is above it in more than 1 % of jobs: in four of ten, for p90, where processes
differ by 1 % and queries by 2 % (tests/benchmarks/simulations.py).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgemeter_agent.statistics.distributions import binomial_cdf, binomial_quantile_below

CONFIDENCE = 0.99


def overlatency_queries(queries: int, percent: float) -> int:
    """The t of the rules: so many of the queries may exceed a bound that `percent` of all queries surely
    hold; 0 or -1 where there are too few queries for an estimate."""
    return binomial_quantile_below(queries, 1 - percent / 100, 1 - CONFIDENCE)


def min_queries(percent: float) -> int:
    """Fewest queries that give an estimate: 64 for p90, 662 for p99."""
    enough = 1
    while binomial_cdf(1, enough, 1 - percent / 100) > 1 - CONFIDENCE:
        enough *= 2
    low = enough // 2
    while enough - low > 1:
        middle = (low + enough) // 2
        if binomial_cdf(1, middle, 1 - percent / 100) > 1 - CONFIDENCE:
            low = middle
        else:
            enough = middle
    return enough


def early_stopping_estimate(ordered: npt.NDArray[np.float64], percent: float) -> float | None:
    """LoadGen's estimate from the sorted latencies of single queries, float64 [n]; None for too few.

    It is an upper bound, not the percentile: the fewer the queries, the farther above it.
    """
    discarded = overlatency_queries(len(ordered), percent)
    if discarded < 1:
        return None
    return float(ordered[len(ordered) - discarded])
