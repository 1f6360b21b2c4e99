"""Datasets in numpy's own files, of which nothing is unpickled.

An .npz holds arrays under the names that `named_arrays` tells. An .npy holds one array of inputs, a fifth of
which is set aside for evaluation; it has no labels.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.datasets import named_arrays
from edgemeter_converters.datasets.archive import DAMAGE
from edgemeter_converters.datasets.dataset import Dataset, Inputs
from edgemeter_converters.datasets.refusal import check_reading, check_size, not_a_dataset
from edgemeter_protos.v1 import lab_pb2


def read(path: Path, file_name: str, reading: lab_pb2.DataReading) -> Dataset:
    """The dataset in an .npz file.

    Args:
        path: where it is.
        file_name: what its user calls it: errors name it.
        reading: has nothing to tell of an .npz.

    Raises:
        ConversionError: NOT_A_DATASET, or TOO_LARGE.
    """
    check_reading(file_name, reading)
    arrays = _arrays(path, file_name)
    try:
        return named_arrays.from_arrays(arrays)
    except ValueError as error:
        raise not_a_dataset(file_name, str(error)) from error


def read_array(path: Path, file_name: str, reading: lab_pb2.DataReading) -> Dataset:
    """The dataset in an .npy file; as `read`."""
    check_reading(file_name, reading)
    with _damage_is_refused(file_name, ".npy", "numpy.save"):
        with path.open("rb") as stream:
            _check_header(stream, "its array", path.stat().st_size, file_name)
        array = np.load(path, allow_pickle=False)
    try:
        return named_arrays.from_arrays({"x": array})
    except ValueError as error:
        raise not_a_dataset(file_name, str(error)) from error


def write(path: Path, dataset: Dataset) -> None:
    """An .npz that `read` makes the same dataset of; the same bytes for the same dataset."""
    _save(path, named_arrays.to_arrays(dataset))


def write_inputs(path: Path, inputs: Inputs) -> None:
    """An .npz of `input_0`, `input_1`, …, as they are; the same bytes for the same arrays."""
    _save(path, {f"input_{index}": array for index, array in enumerate(inputs)})


def write_labels(path: Path, labels: NDArray[Any]) -> None:
    """An .npz of `labels`, as they are."""
    _save(path, {"labels": labels})


def _save(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Uncompressed, and dated as zip's first day: the bytes depend on the arrays' values alone."""
    plain = {
        name: np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        for name, array in arrays.items()
    }
    with path.open("wb") as file:  # np.savez would add ".npz" to a path without it
        np.savez(file, allow_pickle=False, **plain)


def _arrays(path: Path, file_name: str) -> dict[str, NDArray[Any]]:
    with _damage_is_refused(file_name, ".npz", "numpy.savez"):
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            wanted = {name: info for name, info in members.items() if named_arrays.NAME.fullmatch(name)}
            check_size(file_name, "its arrays", sum(info.file_size for info in wanted.values()))
            for name, info in wanted.items():
                with archive.open(info) as stream:
                    _check_header(stream, repr(name), info.file_size, file_name)
        with np.load(path, allow_pickle=False) as loaded:
            return {name: loaded[name] for name in wanted}


@contextmanager
def _damage_is_refused(file_name: str, suffix: str, writer: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise not_a_dataset(file_name, "there is no such file") from error
    except ValueError as error:
        raise not_a_dataset(file_name, f"an array can't be read ({error}); save it with {writer}") from error
    except DAMAGE as error:
        what = f"it is no {suffix} file, or a damaged one ({error}); save one with {writer}"
        raise not_a_dataset(file_name, what) from error


def _check_header(stream: IO[bytes], name: str, size_bytes: int, file_name: str) -> None:
    """An array is allocated by what its header says: that must not be more than the file holds."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        what = f"{name} holds named fields: inputs and labels are plain arrays of numbers"
        raise not_a_dataset(file_name, what)
    if dtype.hasobject:
        what = f"{name} holds Python objects, which would need unpickling: save plain numbers"
        raise not_a_dataset(file_name, what)
    needed_bytes = math.prod(shape) * dtype.itemsize
    if needed_bytes > size_bytes:
        raise not_a_dataset(file_name, f"{name} is cut short: its header says {shape} of {dtype}")
    check_size(file_name, "its arrays", needed_bytes)
