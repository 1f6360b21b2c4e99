"""Whether a classifier is as sure as it is right."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.tasks.activations import softmax

BINS = 15
_SLACK = 0.02
"""By which a quantized softmax may leave [0, 1]."""
_SUM_SLACK = 0.1
"""By which half of the rows may sum to something else than 1, rounded as they are."""


def are_probabilities(scores: NDArray[Any]) -> bool:
    """Whether (samples, classes) already went through a softmax: between 0 and 1, and the median row sums
    to 1, both as exactly as eight bits allow."""
    inside = scores.min() >= -_SLACK and scores.max() <= 1 + _SLACK
    return bool(inside and abs(np.median(scores.sum(axis=1, dtype=np.float64)) - 1) <= _SUM_SLACK)


def confidences(scores: NDArray[Any], *, probabilities: bool) -> NDArray[np.float64]:
    """(samples,): the probability of the class that each row chooses; rows that are no `probabilities` go
    through a softmax."""
    shares = scores if probabilities else softmax(scores)
    return np.asarray(np.clip(shares.max(axis=1), 0.0, 1.0), dtype=np.float64)


def expected_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Expected calibration error, 0 to 1, in `BINS` bins of equal width, each without its lower end: the mean
    distance between how sure and how often right, weighted by samples.

    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, On Calibration of Modern Neural Networks (arXiv:1706.04599),
    equation 3.

    Args:
        confidence, right: (samples,).
    """
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(confidence))
