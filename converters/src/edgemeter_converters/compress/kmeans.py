"""k-means over single numbers: a layer's weights become a few values. numpy only, pure, without chance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ROUNDS = 100
"""At most; Lloyd's algorithm in one dimension rarely takes half as many."""


def cluster(
    values: NDArray[Any], clusters: int, *, hold_zero: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Lloyd's algorithm from centroids that are evenly spread over the values' range: Han et al., Deep
    Compression (arXiv:1510.00149), section 3.2, found that start the best one, since it keeps the few large
    weights.

    Args:
        values: any shape, real and finite.
        clusters: how many centroids at most, 2 or more.
        hold_zero: whether values that are zero have a centroid of their own, which stays 0.

    Returns:
        The index of each value's centroid, of the values' shape, and the centroids, ascending but for a held
        zero, which comes first. Fewer where there are not as many different values.
    """
    flat = values.astype(np.float64).reshape(-1)
    if hold_zero and (flat == 0).any():
        indices = np.zeros(flat.size, dtype=np.int64)
        others = flat != 0
        if not others.any():
            return indices.reshape(values.shape), np.zeros(1)
        found, centroids = _lloyd(flat[others], clusters - 1)
        indices[others] = found + 1
        return indices.reshape(values.shape), np.concatenate([[0.0], centroids])
    found, centroids = _lloyd(flat, clusters)
    return found.reshape(values.shape), centroids


def _lloyd(flat: NDArray[np.float64], clusters: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    different = np.unique(flat)
    if len(different) <= clusters:
        return np.searchsorted(different, flat).astype(np.int64), different
    ordered = np.sort(flat)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    squares = np.concatenate([[0.0], np.cumsum(ordered**2)])
    # One centroid takes the mean; of more, the first and the last start at the ends.
    centroids = (
        np.linspace(ordered[0], ordered[-1], clusters) if clusters > 1 else ordered.mean(keepdims=True)
    )
    for _ in range(ROUNDS):
        bounds = np.searchsorted(ordered, (centroids[1:] + centroids[:-1]) / 2, side="right")
        edges = np.concatenate([[0], bounds, [len(ordered)]])
        counts = np.diff(edges)
        means = np.where(counts > 0, np.diff(sums[edges]) / np.maximum(counts, 1), centroids)
        if (counts == 0).any():
            means = _refilled(means, counts, np.diff(squares[edges]))
        if np.array_equal(means, centroids):
            break
        centroids = means
    indices = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, flat, side="left")
    used, indices = np.unique(indices, return_inverse=True)
    return indices.reshape(flat.shape).astype(np.int64), centroids[used]


def _refilled(
    means: NDArray[np.float64], counts: NDArray[np.int64], squares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Puts a centroid that no value is nearest to beside the one that is worst for its values."""
    spread = np.maximum(squares - counts * means**2, 0.0)
    worst = int(spread.argmax())
    if spread[worst] == 0:
        return means
    deviation = np.sqrt(spread[worst] / counts[worst])
    refilled = means.copy()
    refilled[int(counts.argmin())] = means[worst] + deviation
    refilled[worst] -= deviation
    return np.sort(refilled)
