"""Outliers: marked and counted, never dropped."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

THRESHOLD = 3.5
MAD_SCALE = 1.4826
"""1 / Phi^-1(3/4): makes the MAD of normal samples their standard deviation."""
MEAN_DEVIATION_SCALE = 1.253314
"""sqrt(pi / 2): the same for the mean absolute deviation."""


def mark_outliers(samples: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """True for samples farther than 3.5 scaled median absolute deviations from the median; bool [n].

    Iglewicz & Hoaglin, "How to Detect and Handle Outliers" (1993). Where more than half of the samples are
    equal, the MAD is 0 and, as they advise, the mean absolute deviation stands in.
    """
    values = np.asarray(samples, dtype=np.float64)
    if values.size == 0:
        return np.zeros(0, np.bool_)
    deviations = np.abs(values - np.median(values))
    scale = MAD_SCALE * float(np.median(deviations))
    if scale == 0:
        scale = MEAN_DEVIATION_SCALE * float(np.mean(deviations))
    marked: npt.NDArray[np.bool_] = deviations > THRESHOLD * scale
    return marked


def count_outliers(samples: npt.ArrayLike) -> int:
    """How many samples mark_outliers marks."""
    return int(np.count_nonzero(mark_outliers(samples)))
