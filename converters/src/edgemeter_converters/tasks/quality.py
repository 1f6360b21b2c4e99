"""Metrics as they are written down, with the 95 % interval that samples allow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.tasks.intervals import mean_interval, wilson_interval
from edgemeter_protos.v1 import variant_pb2


def share(metric: str, against: str, right: NDArray[np.bool_]) -> variant_pb2.Quality:
    """Of the samples, those for which something holds; Wilson's interval."""
    correct, samples = int(np.count_nonzero(right)), len(right)
    low, high = wilson_interval(correct, samples)
    return variant_pb2.Quality(
        metric=metric,
        value=correct / samples,
        samples=samples,
        ci95_low=low,
        ci95_high=high,
        against=against,
    )


def mean(
    metric: str,
    against: str,
    values: NDArray[Any],
    *,
    lower_is_better: bool = False,
    low: float = -math.inf,
    high: float = math.inf,
) -> variant_pb2.Quality:
    """Of a number for each sample; Student's t, cut where no mean can be: below `low`, above `high`."""
    found = variant_pb2.Quality(
        metric=metric,
        value=float(np.mean(values, dtype=np.float64)),
        samples=len(values),
        against=against,
        lower_is_better=lower_is_better,
    )
    if (interval := mean_interval(values)) is not None:
        found.ci95_low, found.ci95_high = max(low, interval[0]), min(high, interval[1])
    return found
