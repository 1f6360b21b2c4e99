"""Datasets in numpy's .npz, under the names that Keras's own data sets use.

Either `x_train` and `x_test`, with `y_train` and `y_test` where there are labels, or `x` and perhaps `y`, of
which a fifth is set aside for evaluation. `x_calibration` replaces the calibration samples that would be
picked from training. Inputs are (samples, …), numbers; labels are (samples,) or (samples, 1), integers
from 0.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.datasets import splits
from edgemeter_converters.datasets.dataset import Dataset, Inputs, Samples
from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.v1 import refusal_pb2

MAX_BYTES = 8 << 30
"""Uncompressed, over all arrays: they are held in memory at once."""

_NAMES = ("x", "y", "x_train", "y_train", "x_test", "y_test", "x_calibration")


def read(path: Path, file_name: str) -> Dataset:
    """The dataset in an .npz file; nothing in it is unpickled.

    Args:
        path: where it is.
        file_name: what its user calls it: errors name it.

    Raises:
        ConversionError: NOT_A_DATASET, or TOO_LARGE.
    """
    arrays = _arrays(path, file_name)
    try:
        return from_arrays(arrays)
    except ValueError as error:
        _refuse(file_name, str(error))


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> Dataset:
    """The dataset that arrays of those names make. Pure.

    Raises:
        ValueError: what is wrong with which array.
    """
    training, evaluation = _training_and_evaluation(arrays)
    if "x_calibration" in arrays:
        given = _inputs("x_calibration", arrays["x_calibration"])
        _check_alike(given, evaluation.inputs, "x_calibration")
        shared = splits.overlap(given, evaluation.inputs)
        if shared:
            raise ValueError(
                f"{len(shared)} of {len(given[0])} samples in 'x_calibration' are evaluation samples too "
                f"(the first: number {shared[0]}); quality would be flattered: remove them"
            )
        calibration = given
    else:
        calibration = splits.pick_calibration(training.inputs, evaluation.inputs)
    labels = [each.labels for each in (training, evaluation) if each.labels is not None]
    return Dataset(
        training=training,
        calibration=calibration,
        evaluation=evaluation,
        classes=max((int(each.max()) + 1 for each in labels), default=0),
    )


def write_inputs(path: Path, inputs: Inputs) -> None:
    """An .npz of `input_0`, `input_1`, …, as they are; the same bytes for the same arrays."""
    np.savez(path, allow_pickle=False, **{f"input_{index}": array for index, array in enumerate(inputs)})


def write_labels(path: Path, labels: NDArray[Any]) -> None:
    """An .npz of `labels`: (samples,), int64."""
    np.savez(path, allow_pickle=False, labels=labels)


def _training_and_evaluation(arrays: Mapping[str, NDArray[Any]]) -> tuple[Samples, Samples]:
    whole, parted = "x" in arrays, "x_train" in arrays or "x_test" in arrays
    if whole and parted:
        raise ValueError("it has 'x' as well as 'x_train' or 'x_test': keep one way of naming the splits")
    if whole:
        samples = _samples(arrays, "x", "y")
        if len(samples) < 2:
            raise ValueError("'x' has 1 sample: at least 2 are needed, to train and to evaluate")
        return splits.split(samples)
    missing = [name for name in ("x_train", "x_test") if name not in arrays]
    if missing:
        there = ", ".join(map(repr, arrays)) or "none"
        raise ValueError(
            f"no array {' and no array '.join(map(repr, missing))} (there: {there}); "
            "save x_train, y_train, x_test and y_test, or x and y"
        )
    training, evaluation = _samples(arrays, "x_train", "y_train"), _samples(arrays, "x_test", "y_test")
    _check_alike(training.inputs, evaluation.inputs, "x_train")
    return training, evaluation


def _samples(arrays: Mapping[str, NDArray[Any]], inputs_name: str, labels_name: str) -> Samples:
    inputs = _inputs(inputs_name, arrays[inputs_name])
    if labels_name not in arrays:
        return Samples(inputs=inputs)
    labels = arrays[labels_name]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        hint = "; for one-hot labels save labels.argmax(axis=1)" if labels.ndim == 2 else ""
        raise ValueError(
            f"{labels_name!r} is {labels.dtype} of shape {labels.shape}: "
            f"labels are integers of shape (samples,){hint}"
        )
    if len(labels) != len(inputs[0]):
        raise ValueError(f"{inputs_name!r} has {len(inputs[0])} samples, {labels_name!r} has {len(labels)}")
    if labels.min() < 0 or labels.max() > np.iinfo(np.int32).max:
        raise ValueError(f"{labels_name!r} goes from {labels.min()} to {labels.max()}: labels count from 0")
    return Samples(inputs=inputs, labels=labels.astype(np.int64))


def _inputs(name: str, array: NDArray[Any]) -> Inputs:
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
    return (array,)


def _check_alike(inputs: Inputs, evaluation: Inputs, name: str) -> None:
    first, second = inputs[0], evaluation[0]
    if first.shape[1:] != second.shape[1:] or first.dtype != second.dtype:
        raise ValueError(
            f"{name!r} is {first.dtype} of shape {first.shape[1:]} a sample, "
            f"'x_test' is {second.dtype} of shape {second.shape[1:]}: they must be alike"
            if name == "x_train"
            else f"{name!r} is {first.dtype} of shape {first.shape[1:]} a sample, "
            f"evaluation is {second.dtype} of shape {second.shape[1:]}: they must be alike"
        )


def _arrays(path: Path, file_name: str) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            wanted = {name: info for name, info in members.items() if name in _NAMES}
            size_bytes = sum(info.file_size for info in wanted.values())
            if size_bytes > MAX_BYTES:
                raise ConversionError(
                    f"{file_name}: its arrays take {size_bytes:,} bytes, at most {MAX_BYTES:,} are read",
                    reason=refusal_pb2.REFUSAL_REASON_TOO_LARGE,
                )
            for name, info in wanted.items():
                with archive.open(info) as stream:
                    _check_header(stream, name, info.file_size, file_name)
        with np.load(path, allow_pickle=False) as loaded:
            return {name: loaded[name] for name in wanted}
    except FileNotFoundError:
        _refuse(file_name, "there is no such file")
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        _refuse(file_name, f"it is no .npz file, or a damaged one ({error}); save one with numpy.savez")
    except ValueError as error:
        _refuse(file_name, f"an array can't be read ({error})")


def _check_header(stream: IO[bytes], name: str, size_bytes: int, file_name: str) -> None:
    """An array is allocated by what its header says: that must not be more than the file holds."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        _refuse(file_name, f"{name!r} holds named fields: inputs and labels are plain arrays of numbers")
    if dtype.hasobject:
        _refuse(file_name, f"{name!r} holds Python objects, which would need unpickling: save plain numbers")
    if math.prod(shape) * dtype.itemsize > size_bytes:
        _refuse(file_name, f"{name!r} is cut short: its header says {shape} of {dtype}")


def _refuse(file_name: str, what: str) -> NoReturn:
    raise ConversionError(f"{file_name}: {what}", reason=refusal_pb2.REFUSAL_REASON_NOT_A_DATASET)
