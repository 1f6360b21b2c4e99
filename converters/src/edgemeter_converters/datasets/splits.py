"""Which samples calibrate, train and evaluate. Pure: the same arrays give the same splits everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.datasets.dataset import Dataset, Inputs, Samples, are_one_class
from edgemeter_converters.datasets.digests import sample_digest, sample_digests

MAX_CALIBRATION_SAMPLES = 200
"""Ranges settle within a few hundred; TensorFlow's guide to post-training quantization says 100 to 500."""

EVALUATION_SHARE = 0.2

SPLIT_SEED = 20210901
"""Fixed: a variant's identity holds the digests of the splits, so they must come out alike each time."""


def split(samples: Samples) -> tuple[Samples, Samples]:
    """Training and evaluation: a seeded 80/20 split, at least one sample in each (two samples or more).

    A sample that is there twice may end in either, never in both: training gives it up. Where chance leaves
    only one class in a split of a few samples, its last sample changes places with one of another class.

    Raises:
        ValueError: there is nothing left to train with: all samples are alike.
    """
    order = _order(len(samples))
    share = max(1, round(EVALUATION_SHARE * len(samples)))
    if samples.labels is not None:
        _mix_classes(order[:share], order[share:], samples.labels)
        _mix_classes(order[share:], order[:share], samples.labels)
    evaluation = _take(samples, np.sort(order[:share]))
    rest = np.sort(order[share:])
    seen = set(sample_digests(evaluation.inputs))
    kept = [index for index in rest if sample_digest(samples.inputs, int(index)) not in seen]
    if not kept:
        raise ValueError("its samples are all the same, or nearly: none is left to train with")
    return _take(samples, np.array(kept, dtype=np.intp)), evaluation


def pick_calibration(training: Inputs, evaluation: Inputs, count: int = MAX_CALIBRATION_SAMPLES) -> Inputs:
    """At most `count` different samples of `training`, seeded; never one that is in `evaluation` too.

    Fewer are the first of more. Empty where every training sample is also an evaluation sample.
    """
    seen = set(sample_digests(evaluation))
    picked: list[int] = []
    for index in _order(len(training[0])):
        if len(picked) == count:
            break
        digest = sample_digest(training, int(index))
        if digest not in seen:
            seen.add(digest)
            picked.append(int(index))
    return tuple(array[np.array(picked, dtype=np.intp)] for array in training)


def calibration(dataset: Dataset, count: int) -> Inputs:
    """At most `count` samples to calibrate with: the first of those that came with the data, or picked."""
    if dataset.calibration_given or count <= len(dataset.calibration[0]):
        return tuple(array[:count] for array in dataset.calibration)
    return pick_calibration(dataset.training.inputs, dataset.evaluation.inputs, count)


def overlap(samples: Inputs, evaluation: Inputs) -> list[int]:
    """Indices of those of `samples` that are evaluation samples too."""
    seen = set(sample_digests(evaluation))
    return [index for index, digest in enumerate(sample_digests(samples)) if digest in seen]


def _order(samples: int) -> NDArray[np.intp]:
    # RandomState: its stream is frozen for good (NEP 19), Generator's may change with numpy.
    return np.random.RandomState(SPLIT_SEED).permutation(samples).astype(np.intp)


def _mix_classes(split: NDArray[np.intp], others: NDArray[np.intp], labels: NDArray[Any]) -> None:
    """Gives `split` a second class by one exchange, in place, unless that leaves `others` with one class."""
    if not are_one_class(labels[split]):
        return
    strangers = np.flatnonzero(labels[others] != labels[split[0]])
    # A single sample is no split of one class: nothing is taken from it by exchanging it.
    if len(strangers) > 1 or len(strangers) == len(others) == 1:
        first = strangers[0]
        split[-1], others[first] = others[first], split[-1]


def _take(samples: Samples, indices: NDArray[Any]) -> Samples:
    return Samples(
        inputs=tuple(array[indices] for array in samples.inputs),
        labels=None if samples.labels is None else samples.labels[indices],
    )
