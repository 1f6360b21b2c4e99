"""How far two sets of pictures are apart, of which none belongs to another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.tasks import picture_features
from edgemeter_protos.v1 import variant_pb2

METRIC = "fid_fashion"
"""Named after the net: a distance over other features, such as Inception's, is another number."""


def fid(
    against: str, pictures: NDArray[np.float32], others: NDArray[np.float32]
) -> variant_pb2.Quality | None:
    """The Fréchet distance between the features (`picture_features`) of two sets of pictures; None where
    a set has no more pictures than there are features, which leaves its covariance without full rank.

    It has no interval: sets drawn again from the same pictures are farther apart than those were. It is
    biased upwards for few pictures: only what is scored with as many of them can be compared.

    M. Heusel, H. Ramsauer, T. Unterthiner, B. Nessler, S. Hochreiter, GANs trained by a two time-scale update
    rule converge to a local Nash equilibrium (arXiv:1706.08500), with our own net in place of Inception.

    Args:
        pictures, others: (samples, height, width, 1 or 3), 0 to 1; each set may have its own sizes.
    """
    if min(len(pictures), len(others)) <= picture_features.DIMENSIONS:
        return None
    found = frechet_distance(picture_features.features(pictures), picture_features.features(others))
    return variant_pb2.Quality(
        metric=METRIC, value=found, samples=len(pictures), against=against, lower_is_better=True
    )


def frechet_distance(x: NDArray[Any], y: NDArray[Any]) -> float:
    """|m - n|² + tr(S + T - 2 (S T)^½) of the means m, n and covariances S, T of two sets of points, one a
    row: the squared distance of D. C. Dowson and B. V. Landau, Journal of Multivariate Analysis 12 (1982).

    tr (S T)^½ is the trace of (S^½ T S^½)^½, which is symmetric: eigenvalues of symmetric matrices suffice.
    """
    apart = x.mean(axis=0, dtype=np.float64) - y.mean(axis=0, dtype=np.float64)
    of_x, of_y = np.cov(x, rowvar=False, dtype=np.float64), np.cov(y, rowvar=False, dtype=np.float64)
    values, vectors = np.linalg.eigh(of_x)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    mixed = np.linalg.eigvalsh(root @ of_y @ root)
    shared = np.sqrt(np.maximum(mixed, 0)).sum()
    return float(max(apart @ apart + np.trace(of_x) + np.trace(of_y) - 2 * shared, 0.0))
