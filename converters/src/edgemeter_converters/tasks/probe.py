"""How well a linear classifier tells labels from embeddings: what they are still worth to somebody else."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDS = 5
SEED = 0
REGULARIZATION = 1.0
"""What is added to each eigenvalue of the embeddings' Gram matrix; theirs add up to at most the samples'
number, since each embedding has a length of 1."""


def probe(embeddings: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int64]:
    """Each sample's class, said by a classifier that has not seen it: (samples,).

    Ridge regression to one-hot classes with an intercept, in closed form, of each fold by the four others.
    The folds are drawn with a fixed seed and hold the same share of each class, as far as that goes.

    Args:
        embeddings: (samples, dimensions), each of length 1 or 0.
        labels: (samples,) whole numbers.
    """
    classes, of_class = np.unique(labels, return_inverse=True)
    wanted = np.eye(len(classes))[of_class]
    fold = _folds(of_class)
    chosen = np.zeros(len(labels), np.int64)
    for each in range(FOLDS):
        held = fold == each
        chosen[held] = _predict(embeddings[~held], wanted[~held], embeddings[held]).argmax(axis=1)
    return np.asarray(classes[chosen])


def _folds(of_class: NDArray[Any]) -> NDArray[np.int64]:
    """The fold of each sample: shuffled, put in order of class, and dealt out like cards."""
    order = np.random.default_rng(SEED).permutation(len(of_class))
    order = order[np.argsort(of_class[order], kind="stable")]
    fold = np.empty(len(of_class), np.int64)
    fold[order] = np.arange(len(of_class)) % FOLDS
    return fold


def _predict(seen: NDArray[Any], wanted: NDArray[Any], unseen: NDArray[Any]) -> NDArray[Any]:
    """Least squares with the regularization as further rows, so that nothing is squared and then inverted."""
    centre, share = seen.mean(axis=0), wanted.mean(axis=0)
    dimensions = seen.shape[1]
    rows = np.concatenate([seen - centre, np.sqrt(REGULARIZATION) * np.eye(dimensions)])
    aims = np.concatenate([wanted - share, np.zeros((dimensions, wanted.shape[1]))])
    weights = np.linalg.lstsq(rows, aims, rcond=None)[0]
    return np.asarray((unseen - centre) @ weights + share)
