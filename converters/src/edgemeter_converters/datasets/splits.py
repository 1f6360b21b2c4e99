"""Which samples calibrate and which evaluate. Pure: the same arrays give the same splits everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.datasets.dataset import Inputs, Samples
from edgemeter_converters.datasets.digests import sample_digest

MAX_CALIBRATION_SAMPLES = 200
"""Ranges settle within a few hundred; TensorFlow's guide to post-training quantization says 100 to 500."""

EVALUATION_SHARE = 0.2

SPLIT_SEED = 20210901
"""Fixed: a variant's identity holds the digests of the splits, so they must come out alike each time."""


def split(samples: Samples) -> tuple[Samples, Samples]:
    """Training and evaluation: a seeded 80/20 split, at least one sample in each (two samples or more)."""
    order = _order(len(samples))
    evaluation = max(1, round(EVALUATION_SHARE * len(samples)))
    return _take(samples, np.sort(order[evaluation:])), _take(samples, np.sort(order[:evaluation]))


def pick_calibration(training: Inputs, evaluation: Inputs) -> Inputs:
    """At most 200 different samples of `training`, seeded; never one that is in `evaluation` too.

    Empty where every training sample is also an evaluation sample.
    """
    seen = _digests(evaluation)
    picked: list[int] = []
    for index in _order(len(training[0])):
        if len(picked) == MAX_CALIBRATION_SAMPLES:
            break
        digest = sample_digest(training, int(index))
        if digest not in seen:
            seen.add(digest)
            picked.append(int(index))
    return tuple(array[np.array(picked, dtype=np.intp)] for array in training)


def overlap(calibration: Inputs, evaluation: Inputs) -> list[int]:
    """Indices of the calibration samples that are evaluation samples too."""
    seen = _digests(evaluation)
    return [index for index in range(len(calibration[0])) if sample_digest(calibration, index) in seen]


def _digests(inputs: Inputs) -> set[bytes]:
    return {sample_digest(inputs, index) for index in range(len(inputs[0]))}


def _order(samples: int) -> NDArray[np.intp]:
    # RandomState: its stream is frozen for good (NEP 19), Generator's may change with numpy.
    return np.random.RandomState(SPLIT_SEED).permutation(samples).astype(np.intp)


def _take(samples: Samples, indices: NDArray[Any]) -> Samples:
    return Samples(
        inputs=tuple(array[indices] for array in samples.inputs),
        labels=None if samples.labels is None else samples.labels[indices],
    )
