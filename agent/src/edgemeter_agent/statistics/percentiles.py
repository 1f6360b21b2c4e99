"""Percentiles."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def percentile(samples: npt.ArrayLike, percent: float) -> float:
    """The smallest sample that at least `percent` of all samples do not exceed.

    Nearest rank, that is type 1 of Hyndman & Fan, "Sample Quantiles in Statistical Packages", The American
    Statistician 50 (1996): always a latency that was really seen; nothing is made up in the gaps of a tail.
    Raises ValueError for no samples or a percent outside 0 to 100.
    """
    values = np.asarray(samples, dtype=np.float64)
    if values.size == 0:
        raise ValueError("no samples to take a percentile of")
    return float(np.percentile(values, percent, method="inverted_cdf"))
