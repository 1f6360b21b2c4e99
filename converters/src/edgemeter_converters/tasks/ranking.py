"""How well numbers put samples in order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Z_95 = 1.959963984540054
"""The normal distribution's 97.5 % quantile."""


def midranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Ranks from 1, equal values sharing the middle of theirs."""
    _unique, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    return np.asarray((ends - (counts - 1) / 2)[inverse], dtype=np.float64)


def auc(scores: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: how often a positive sample scores higher than a negative one, equal scores
    counting half (the Mann-Whitney statistic as a share). Needs one of each."""
    ranks = midranks(scores)
    positives = int(np.count_nonzero(positive))
    negatives = len(scores) - positives
    above = ranks[positive].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def auc_interval(scores: NDArray[Any], positive: NDArray[np.bool_]) -> tuple[float, float] | None:
    """95 % interval of `auc`, between 0 and 1: DeLong's variance, on the logit scale; None where the data
    show no variance, as where all are in order.

    E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 44 (1988), with midranks after X. Sun, W. Xu,
    IEEE Signal Processing Letters 21 (2014); logit: M. S. Pepe, The Statistical Evaluation of Medical Tests
    (2003), section 5.2.
    """
    every, above, below = midranks(scores), scores[positive], scores[~positive]
    if min(len(above), len(below)) < 2:
        return None
    of_positives = (every[positive] - midranks(above)) / len(below)
    of_negatives = 1 - (every[~positive] - midranks(below)) / len(above)
    variance = of_positives.var(ddof=1) / len(above) + of_negatives.var(ddof=1) / len(below)
    area = auc(scores, positive)
    if variance == 0 or area in (0, 1):
        return None
    centre = math.log(area / (1 - area))
    half = _Z_95 * math.sqrt(variance) / (area * (1 - area))
    return _logistic(centre - half), _logistic(centre + half)


def rank_correlation(these: NDArray[Any], those: NDArray[Any]) -> float | None:
    """Spearman's: the correlation of midranks, -1 to 1; None where all of either are equal."""
    first, second = (midranks(each) - (len(each) + 1) / 2 for each in (these, those))
    spread = math.sqrt(float(first @ first) * float(second @ second))
    return max(-1.0, min(1.0, float(first @ second) / spread)) if spread else None


def rank_correlation_interval(correlation: float, samples: int) -> tuple[float, float] | None:
    """95 % interval by Fisher's z; None for fewer than ten samples, or where the order is the same (or
    reversed) throughout.

    Variance: D. G. Bonett, T. A. Wright, Sample size requirements for estimating Pearson, Kendall and
    Spearman correlations, Psychometrika 65 (2000).
    """
    if samples < 10 or abs(correlation) >= 1:
        return None
    centre = math.atanh(correlation)
    half = _Z_95 * math.sqrt((1 + correlation**2 / 2) / (samples - 3))
    return math.tanh(centre - half), math.tanh(centre + half)


def _logistic(value: float) -> float:
    return (1 + math.tanh(value / 2)) / 2
