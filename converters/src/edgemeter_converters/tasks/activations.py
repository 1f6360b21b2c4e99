"""From what a network's last layer gives to shares between 0 and 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def sigmoid(values: NDArray[Any]) -> NDArray[np.float64]:
    """Of each value by itself, without overflow."""
    small = np.exp(-np.abs(values.astype(np.float64)))
    return np.asarray(np.where(values >= 0, 1.0, small) / (1.0 + small))


def softmax(values: NDArray[Any]) -> NDArray[np.float64]:
    """Along the last axis, which isn't empty."""
    shifted = np.exp(values.astype(np.float64) - values.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))
