"""Data that a function gives: `package.module:function`, called without arguments, where the operator trusts
its package.

It returns, or yields as pairs, either arrays under the names that `named_arrays` tells, or splits: "train",
"test" or "validation", and "calibration". A split is `(x, y)`, or a tuple `(x, y)` a sample as torch's
datasets give, or x alone as an array; x is an array, or a tuple of them for a model with several inputs.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.datasets import layout, named_arrays
from edgemeter_converters.datasets.dataset import Dataset
from edgemeter_converters.datasets.refusal import check_size, not_a_dataset
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.trust import check_allowed, is_function

CALIBRATION = "calibration"

_SPLITS = (layout.TRAIN, layout.TEST, layout.VALIDATION, CALIBRATION)

_MOST_NAMES = 100
"""A generator that gives no splits may never end."""


def call(function: str, allowed: Sequence[str]) -> Dataset:
    """What the function gives. Runs its package's code: in conversion workers only.

    Args:
        function: "package.module:function".
        allowed: packages, or modules of some, whose code may be run: "package", "package.module".

    Raises:
        ConversionError: UNSAFE_MODEL where none of `allowed` covers it; NOT_A_DATASET where it can't be
            imported, fails, or gives no dataset; TOO_LARGE.
    """
    if not is_function(function):
        raise not_a_dataset(function, "a function is written package.module:function")
    module, _, name = function.partition(":")
    check_allowed(function, allowed)
    try:
        given = getattr(importlib.import_module(module), name)()
        arrays = to_arrays(given, function)
    except (ConversionError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise not_a_dataset(function, f"it failed with {type(error).__name__}: {str(error)[:300]}") from error
    try:
        return named_arrays.from_arrays(arrays)
    except ValueError as error:
        raise not_a_dataset(function, str(error)) from error


def to_arrays(given: Any, function: str) -> dict[str, NDArray[Any]]:
    """What a function gave, as arrays under the names of `named_arrays`.

    Raises:
        ConversionError: NOT_A_DATASET where it is neither splits nor such arrays; TOO_LARGE.
        Exception: whatever iterating over it raises.
    """
    parts = _parts(given, function)
    if any(named_arrays.NAME.fullmatch(name) for name in parts):
        return {name: _array(value) for name, value in parts.items() if named_arrays.NAME.fullmatch(name)}
    splits = {name: layout.split_of_word(name) or name for name in parts}
    unknown = next((name for name, split in splits.items() if split not in _SPLITS), None)
    if unknown is not None or not parts:
        what = f"it gave {unknown!r}" if parts else "it gave nothing"
        raise not_a_dataset(function, f"{what}: splits are train, test or validation, and calibration")
    if len(set(splits.values())) < len(splits):
        raise not_a_dataset(function, f"two of its splits are one: {', '.join(map(repr, splits))}")
    try:
        names = layout.array_names(split for split in splits.values() if split != CALIBRATION)
    except ValueError as error:
        raise not_a_dataset(function, str(error)) from error
    names[CALIBRATION] = "x_calibration"
    arrays: dict[str, NDArray[Any]] = {}
    for name, split in splits.items():
        if split in names:
            arrays |= _split(names[split], name, parts[name], function)
    return arrays


def _parts(given: Any, function: str) -> dict[str, Any]:
    """A mapping of names, or whatever gives pairs that begin with one."""
    if isinstance(given, Mapping):
        pairs = list(given.items())
    elif isinstance(given, Iterable) and not isinstance(given, str | bytes) and not hasattr(given, "shape"):
        pairs = list(islice(given, _MOST_NAMES))
    else:
        pairs = [given]
    if not all(isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs):
        raise not_a_dataset(
            function,
            f"it gave a {type(given).__name__}: it is to give splits, "
            "as {'train': (x, y), 'test': (x, y)} or by yielding such pairs",
        )
    return dict(pairs)


def _split(array_name: str, name: str, given: Any, function: str) -> dict[str, NDArray[Any]]:
    if isinstance(given, tuple) and len(given) == 2:
        x, y = given
    elif hasattr(given, "shape"):
        x, y = given, None
    else:
        x, y = _stacked(name, given, function)
    inputs = x if isinstance(x, tuple) else (x,)
    names = [array_name] if len(inputs) == 1 else [f"{array_name}_{number}" for number in range(len(inputs))]
    arrays = {each: _array(value) for each, value in zip(names, inputs, strict=True)}
    if y is not None and array_name != "x_calibration":
        arrays[array_name.replace("x", "y", 1)] = _array(y)
    return arrays


def _stacked(name: str, samples: Any, function: str) -> tuple[tuple[NDArray[Any], ...], NDArray[Any]]:
    """Inputs and labels of samples that come one by one, each `(x, y)`."""
    rows: list[tuple[NDArray[Any], ...]] = []
    labels: list[NDArray[Any]] = []
    size_bytes = 0
    for sample in _each(samples):
        if not isinstance(sample, tuple | list) or len(sample) != 2:
            what = f"sample {len(rows)} of {name!r} is a {type(sample).__name__}: samples are (x, y)"
            raise not_a_dataset(function, what)
        x, y = sample
        row = tuple(map(_array, x if isinstance(x, tuple) else (x,)))
        if rows and [each.shape for each in row] != [each.shape for each in rows[0]]:
            shapes = f"{[each.shape for each in row]}, the first {[each.shape for each in rows[0]]}"
            raise not_a_dataset(function, f"sample {len(rows)} of {name!r} has shape {shapes}")
        size_bytes += sum(each.nbytes for each in row)
        check_size(function, "its samples", size_bytes)
        rows.append(row)
        labels.append(_array(y))
    if not rows:
        raise not_a_dataset(function, f"{name!r} has no samples")
    return tuple(np.stack(column) for column in zip(*rows, strict=True)), np.stack(labels)


def _each(samples: Any) -> Iterator[Any]:
    """torch's datasets have a length and items, and need not end an iteration by themselves."""
    if hasattr(samples, "__len__") and hasattr(samples, "__getitem__") and not hasattr(samples, "__iter__"):
        return (samples[index] for index in range(len(samples)))
    return iter(samples)


def _array(value: Any) -> NDArray[Any]:
    """numpy's own, or of whatever shows itself as an array, such as a torch tensor or a picture."""
    return np.asarray(value.numpy(force=True) if hasattr(value, "numpy") and hasattr(value, "dim") else value)
