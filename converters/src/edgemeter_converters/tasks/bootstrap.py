"""95 % intervals of metrics that have no formula for one: by drawing the samples anew, again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 200
SEED = 0
LEAST_SAMPLES = 10
"""With fewer, what was drawn says little of what might have been."""
_AT_ONCE = 20
"""Choices looked at together: as many rows as fit into memory beside many boxes."""


def interval(
    statistic: Callable[[NDArray[np.float64]], NDArray[Any]], samples: int
) -> tuple[float, float] | None:
    """The 2.5 % and 97.5 % percentiles of a statistic over `RESAMPLES` draws of the samples with replacement,
    the same draws at every call.

    None for fewer than `LEAST_SAMPLES`, and where every draw gives the same, as where all is right: then the
    data don't show how much the statistic varies.

    B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    Args:
        statistic: takes (draws, samples): how often each sample was drawn; gives (draws,), with values that
            are not a number left out.
    """
    if samples < LEAST_SAMPLES:
        return None
    values = np.concatenate([statistic(draws) for draws in _draws(samples)])
    values = values[np.isfinite(values)]
    if values.size == 0 or values.min() == values.max():
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _draws(samples: int) -> Iterator[NDArray[np.float64]]:
    generator = np.random.default_rng(SEED)
    for _ in range(RESAMPLES // _AT_ONCE):
        drawn = generator.integers(0, samples, size=(_AT_ONCE, samples))
        yield np.stack([np.bincount(each, minlength=samples) for each in drawn]).astype(np.float64)
