"""What a classifier's outputs are, told from their values. Pure."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SUM_TOLERANCE = 1e-2
"""By which the probabilities of a sample may miss 1: float16's rounding of a thousand classes."""


class OutputKind(enum.Enum):
    """How an output (samples, classes) is read as probabilities of the classes."""

    PROBABILITIES = "probabilities"
    """As it is: after a softmax."""
    INDEPENDENT = "independent"
    """A probability for each class by itself: after a sigmoid."""
    LOGITS = "logits"
    """After a softmax that is still to be taken; log-probabilities too, which it leaves as they are."""


def output_kind(outputs: NDArray[Any]) -> OutputKind:
    """Of a classifier's outputs for some samples, (samples, classes).

    Values tell it whatever layer or operator made them, where a graph's last layer may be anything; it does
    not happen by chance that logits of every sample are positive and add up to 1.
    """
    within = bool((outputs >= 0).all() and (outputs <= 1 + _SUM_TOLERANCE).all())
    if within and bool((np.abs(outputs.sum(axis=1) - 1) <= _SUM_TOLERANCE).all()):
        return OutputKind.PROBABILITIES
    return OutputKind.INDEPENDENT if within else OutputKind.LOGITS
