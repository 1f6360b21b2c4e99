"""What independent samples say of a percentile without any model: two of themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgemeter_agent.statistics.distributions import binomial_quantile_below

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """An interval; an end that the samples can't give is None."""

    low: float | None
    high: float | None


def order_statistic_interval(
    ordered: npt.NDArray[np.float64], percent: float, confidence: float = CONFIDENCE
) -> Bounds:
    """Equal-tailed interval of a percentile from sorted samples, float64 [n].

    How many of n independent samples lie below the true percentile is binomial, whatever the distribution,
    so that two order statistics bound it (Hahn & Meeker, "Statistical Intervals", 1991, section 5.2). The
    ranks are exact for any n; the interval covers at least `confidence`, and a little more where n is small.
    An end is None where even the smallest or the largest sample is not surely beyond the percentile: an upper
    end needs 36 samples for p90, 368 for p99, 3,688 for p99.9.

    Samples of one block or process are more alike than independent ones, so for pooled blocks this is only
    the part of the uncertainty that comes from the number of queries; percentile_summaries adds the rest.
    Raises ValueError for a percent that is not between 0 and 100, both excluded.
    """
    if not 0 < percent < 100:
        raise ValueError(f"no order statistics bound a percentile of {percent}")
    count = len(ordered)
    if not count:
        return Bounds(low=None, high=None)
    share, tail = percent / 100, (1 - confidence) / 2
    # As many or fewer samples below the percentile, and above it, have at most the probability `tail`.
    below = binomial_quantile_below(count, share, tail)
    above = binomial_quantile_below(count, 1 - share, tail)
    return Bounds(
        low=float(ordered[below]) if below >= 0 else None,
        high=float(ordered[count - 1 - above]) if above >= 0 else None,
    )
