"""The dataset that arrays make, by their names: those that Keras's own data sets use. Pure.

Either `x_train` and `x_test`, with `y_train` and `y_test` where there are labels, or `x` and perhaps `y`, of
which a fifth is set aside for evaluation. `x_calibration` replaces the calibration samples that would be
picked from training. A model with several inputs has `x_train_0`, `x_train_1`, … in the order of its
signature, and likewise `x_test_0`, `x_0` and `x_calibration_0`.

Inputs are (samples, …), numbers. Labels are (samples,) or (samples, 1), integers from 0, where each is the
number of a class; other tasks have others, (samples, …): boxes, pictures, tokens. `class_names` are
(classes,), text, by label. `vocabulary` is the digest of the vocabulary whose token ids the inputs are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.datasets import splits
from edgemeter_converters.datasets.dataset import Dataset, Inputs, Samples, are_classes, are_one_class

NAME = re.compile(r"x(_train|_test|_calibration)?(_\d+)?|y(_train|_test)?|class_names|vocabulary", re.ASCII)
"""Of the arrays that are read; others are ignored."""

Origins = Mapping[str, Sequence[str]]
"""What a user calls the samples of an array, such as the paths of pictures, by the array's name."""


def from_arrays(arrays: Mapping[str, NDArray[Any]], origins: Origins | None = None) -> Dataset:
    """The dataset that arrays of those names make.

    Raises:
        ValueError: what is wrong with which array; samples are named by `origins`, else by their number.
    """
    origins = origins or {}
    training, evaluation = _training_and_evaluation(arrays, origins)
    if _input_names(arrays, "x_calibration"):
        calibration = _inputs(arrays, "x_calibration")
        _check_alike("x_calibration", calibration, "evaluation", evaluation.inputs)
        _check_apart("x_calibration", calibration, evaluation.inputs, origins)
    else:
        calibration = splits.pick_calibration(training.inputs, evaluation.inputs)
    labels = [each.labels for each in (training, evaluation) if each.labels is not None]
    all_classes = bool(labels) and all(map(are_classes, labels))
    highest = max((int(each.max()) for each in labels), default=-1) if all_classes else -1
    class_names = _class_names(arrays, highest) if all_classes else ()
    return Dataset(
        training=training,
        calibration=calibration,
        calibration_given=bool(_input_names(arrays, "x_calibration")),
        evaluation=evaluation,
        classes=max(highest + 1, len(class_names)),
        class_names=class_names,
        vocabulary=_vocabulary(arrays),
    )


def to_arrays(dataset: Dataset) -> dict[str, NDArray[Any]]:
    """The arrays that `from_arrays` makes the same dataset of."""
    arrays = _numbered("x_train", dataset.training.inputs) | _numbered("x_test", dataset.evaluation.inputs)
    for name, labels in (("y_train", dataset.training.labels), ("y_test", dataset.evaluation.labels)):
        if labels is not None:
            arrays[name] = labels
    if dataset.calibration_given:
        arrays |= _numbered("x_calibration", dataset.calibration)
    if dataset.class_names:
        arrays["class_names"] = np.array(dataset.class_names)
    if dataset.vocabulary:
        arrays["vocabulary"] = np.array(dataset.vocabulary)
    return arrays


def _numbered(name: str, inputs: Inputs) -> dict[str, NDArray[Any]]:
    if len(inputs) == 1:
        return {name: inputs[0]}
    return {f"{name}_{number}": array for number, array in enumerate(inputs)}


def _input_names(arrays: Mapping[str, NDArray[Any]], name: str) -> list[str]:
    """The arrays of `name`'s inputs, in order; empty where there are none.

    Raises:
        ValueError: they are named in two ways, or one is missing.
    """
    numbers = sorted(
        int(each.removeprefix(f"{name}_")) for each in arrays if re.fullmatch(rf"{name}_\d+", each, re.ASCII)
    )
    if name in arrays:
        if numbers:
            raise ValueError(f"it has {name!r} as well as '{name}_{numbers[0]}': keep one of the two")
        return [name]
    names = [f"{name}_{number}" for number in range(len(numbers))]
    missing = next((each for each in names if each not in arrays), None)
    if missing:
        raise ValueError(f"it has '{name}_{numbers[-1]}' and no {missing!r}: inputs count from 0")
    return names


def _training_and_evaluation(arrays: Mapping[str, NDArray[Any]], origins: Origins) -> tuple[Samples, Samples]:
    whole = bool(_input_names(arrays, "x"))
    parts = {name: bool(_input_names(arrays, name)) for name in ("x_train", "x_test")}
    if whole and any(parts.values()):
        raise ValueError("it has 'x' as well as 'x_train' or 'x_test': keep one way of naming the splits")
    if whole:
        samples = _samples(arrays, "x", "y")
        if len(samples) < 2:
            raise ValueError("'x' has 1 sample: at least 2 are needed, to train and to evaluate")
        _check_classes("y", samples)
        training, evaluation = splits.split(samples)
        # What is kept names its splits, and would be refused by those names when it is read again.
        for split, use in ((training, "learn from"), (evaluation, "evaluate with")):
            if are_one_class(split.labels):
                raise ValueError(
                    f"'y' has too few samples to be split: the {len(split)} to {use} are all of one class; "
                    "save more of them, or x_train, y_train, x_test and y_test"
                )
        return training, evaluation
    missing = [name for name, there in parts.items() if not there]
    if missing:
        there = ", ".join(map(repr, arrays)) or "none"
        raise ValueError(
            f"no array {' and no array '.join(map(repr, missing))} (there: {there}); "
            "save x_train, y_train, x_test and y_test, or x and y"
        )
    training, evaluation = _samples(arrays, "x_train", "y_train"), _samples(arrays, "x_test", "y_test")
    _check_alike("x_train", training.inputs, "'x_test'", evaluation.inputs)
    _check_classes("y_train", training)
    _check_classes("y_test", evaluation)
    _check_apart("x_train", training.inputs, evaluation.inputs, origins)
    return training, evaluation


def _samples(arrays: Mapping[str, NDArray[Any]], inputs_name: str, labels_name: str) -> Samples:
    inputs = _inputs(arrays, inputs_name)
    if labels_name not in arrays:
        return Samples(inputs=inputs)
    labels = arrays[labels_name]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind not in "biuf" or labels.ndim == 0 or labels.size == 0:
        raise ValueError(
            f"{labels_name!r} is {labels.dtype} of shape {labels.shape}: labels are numbers, (samples, …)"
        )
    if len(labels) != len(inputs[0]):
        raise ValueError(f"{inputs_name!r} has {len(inputs[0])} samples, {labels_name!r} has {len(labels)}")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError(f"{labels_name!r} holds NaN or infinity")
    if not are_classes(labels):
        return Samples(inputs=inputs, labels=labels)
    if labels.min() < 0 or labels.max() > np.iinfo(np.int32).max:
        raise ValueError(f"{labels_name!r} goes from {labels.min()} to {labels.max()}: labels count from 0")
    return Samples(inputs=inputs, labels=labels.astype(np.int64))


def _inputs(arrays: Mapping[str, NDArray[Any]], name: str) -> Inputs:
    names = _input_names(arrays, name)
    for each in names:
        _check_input(each, arrays[each])
    for before, after in pairwise(names):
        if len(arrays[before]) != len(arrays[after]):
            raise ValueError(
                f"{before!r} has {len(arrays[before])} samples, {after!r} has {len(arrays[after])}"
            )
    return tuple(arrays[each] for each in names)


def _check_input(name: str, array: NDArray[Any]) -> None:
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name!r} holds {array.dtype}: inputs are integers, floats or booleans")
    if array.ndim < 2:
        raise ValueError(f"{name!r} has shape {array.shape}: inputs are (samples, …)")
    if array.size == 0:
        raise ValueError(f"{name!r} is empty: its shape is {array.shape}")
    if array.dtype.kind == "f":
        # A sample at a time: a mask of the whole array would take a quarter of its memory again.
        bad = next((index for index, sample in enumerate(array) if not np.isfinite(sample).all()), None)
        if bad is not None:
            raise ValueError(f"{name!r} holds NaN or infinity, first in sample {bad}")


def _check_classes(name: str, samples: Samples) -> None:
    if samples.labels is not None and are_one_class(samples.labels):
        raise ValueError(
            f"{name!r} is {samples.labels[0]} for each of its {len(samples)} samples: nothing is learned or "
            "scored on one class; save samples of several, or leave the labels out"
        )


def _check_alike(name: str, inputs: Inputs, others_name: str, others: Inputs) -> None:
    if len(inputs) != len(others):
        raise ValueError(
            f"{name!r} has {len(inputs)} inputs, {others_name} has {len(others)}: they must be alike"
        )
    for number, (first, second) in enumerate(zip(inputs, others, strict=True)):
        if first.shape[1:] != second.shape[1:] or first.dtype != second.dtype:
            which = f" (input {number})" if len(inputs) > 1 else ""
            raise ValueError(
                f"{name!r}{which} is {first.dtype} of shape {first.shape[1:]} a sample, "
                f"{others_name} is {second.dtype} of shape {second.shape[1:]}: they must be alike"
            )


def _check_apart(name: str, inputs: Inputs, evaluation: Inputs, origins: Origins) -> None:
    shared = splits.overlap(inputs, evaluation)
    if shared:
        first = repr(origins[name][shared[0]]) if name in origins else f"number {shared[0]}"
        raise ValueError(
            f"{len(shared)} of {len(inputs[0])} samples in {name!r} are evaluation samples too "
            f"(the first: {first}); quality would be flattered: remove them"
        )


def _vocabulary(arrays: Mapping[str, NDArray[Any]]) -> str:
    found = arrays.get("vocabulary", np.array(""))
    if found.size != 1 or found.dtype.kind != "U":
        raise ValueError(f"'vocabulary' is {found.dtype} of shape {found.shape}: it is one text, a digest")
    return str(found.item())


def _class_names(arrays: Mapping[str, NDArray[Any]], highest: int) -> tuple[str, ...]:
    if "class_names" not in arrays:
        return ()
    names = arrays["class_names"]
    if names.ndim != 1 or names.dtype.kind != "U":
        raise ValueError(
            f"'class_names' is {names.dtype} of shape {names.shape}: it is text of shape (classes,)"
        )
    if len(names) <= highest:
        raise ValueError(f"'class_names' has {len(names)} names, and the labels go up to {highest}")
    return tuple(map(str, names))
