"""How an input is made from a sample of the data: the same on the coordinator and on a board.

The arithmetic is done in float64 and rounded to float32 once, at the end. IEEE 754 says what each of the
three operations gives in float64, and every processor that we know does just that: x86 in SSE2, 64-bit Arm in
NEON, 32-bit Arm in VFP. In float32 it would not be so, for the NEON of 32-bit Arm has no division, and
numpy's stand-in for it is off by a bit here and there. So the same sample gives the same bits everywhere.

Needs numpy only where something is applied, and asks no more of it than 1.24 has.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgemeter_protos.v1 import variant_pb2

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK_NUMBERS = 1 << 20
"""Worked on at once: the float64 numbers of a whole data set would take twice its memory."""

_LARGEST_DENOMINATOR = 1 << 16

_LONG_DIGITS = 8
"""A number written longer than this is shown as a fraction where it is one: 1/255, but 0.25."""

_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*", re.ASCII)

_KEYS = ("scale", "mean", "std", "layout")


def parse(text: str) -> variant_pb2.Preprocessing:
    """What "scale=1/255,mean=0.485;0.456;0.406,std=0.229;0.224;0.225,layout=nchw" says. Pure.

    Each part may be left out, and so may all of them. A number is decimal or a fraction, "1/255"; mean and
    std have one, or one a channel. Layout is "nchw" or "nhwc", which changes nothing.

    Raises:
        ValueError: one line: which part, and what is wrong with it.
    """
    preprocessing = variant_pb2.Preprocessing()
    if not text.strip():
        return preprocessing
    seen: set[str] = set()
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if key not in _KEYS or not equals:
            raise ValueError(
                f"{part.strip()!r} is no part of a preprocessing: "
                "write scale=1/255,mean=M,std=S,layout=nchw, or some of these"
            )
        if key in seen:
            raise ValueError(f"{key} is there twice")
        seen.add(key)
        if key == "layout":
            if value not in ("nchw", "nhwc"):
                raise ValueError(f"layout is {value!r}: it is nchw (channels first) or nhwc (channels last)")
            preprocessing.channels_first = value == "nchw"
        elif key == "scale":
            preprocessing.scale = _number(key, value)
        else:
            getattr(preprocessing, key).extend(_number(key, each) for each in value.split(";"))
    _check_numbers(preprocessing)
    return preprocessing


def text(preprocessing: variant_pb2.Preprocessing) -> str:
    """What `parse` reads as the same; empty where nothing changes. Pure."""
    parts = []
    if preprocessing.HasField("scale"):
        parts.append(f"scale={_shown(preprocessing.scale)}")
    for key, numbers in (("mean", preprocessing.mean), ("std", preprocessing.std)):
        if numbers:
            parts.append(f"{key}={';'.join(map(_shown, numbers))}")
    if preprocessing.channels_first:
        parts.append("layout=nchw")
    return ",".join(parts)


def output_shape(preprocessing: variant_pb2.Preprocessing, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of a sample after preprocessing, from its shape before; neither has a batch dimension.

    Raises:
        ValueError: mean or std have as many numbers as the sample has no channels, or there are no channels
            to put first.
    """
    before = tuple(shape)
    for key, numbers in (("mean", preprocessing.mean), ("std", preprocessing.std)):
        if len(numbers) > 1 and before[-1:] != (len(numbers),):
            raise ValueError(
                f"{key} has {len(numbers)} numbers, and a sample of shape {before} has "
                f"{before[-1] if before else 0} channels: give one number, or one a channel"
            )
    if not preprocessing.channels_first:
        return before
    if len(before) < 2:
        raise ValueError(f"layout=nchw: a sample of shape {before} has no channels to put first")
    return (before[-1], *before[:-1])


def output_dtype(preprocessing: variant_pb2.Preprocessing, dtype: str) -> str:
    """numpy's name of the element type after preprocessing: that before, or "float32" after arithmetic."""
    return "float32" if _has_arithmetic(preprocessing) else dtype


def apply(preprocessing: variant_pb2.Preprocessing, array: NDArray[Any]) -> NDArray[Any]:
    """What goes into the model: `(array * scale - mean) / std` along the last axis, channels then put first.

    Args:
        array: (samples, …, channels), any real numbers.

    Returns:
        A contiguous array of `output_shape` and `output_dtype`; `array` itself where nothing changes.

    Raises:
        ValueError: as `output_shape`.
    """
    import numpy as np

    shape = output_shape(preprocessing, array.shape[1:])
    if not _has_arithmetic(preprocessing):
        return _channels_first(array) if preprocessing.channels_first else array
    made = np.empty((len(array), *shape), np.float32)
    step = max(1, _BLOCK_NUMBERS // max(1, math.prod(shape)))
    for start in range(0, len(array), step):
        block = array[start : start + step].astype(np.float64)
        if preprocessing.HasField("scale"):
            block *= preprocessing.scale
        if preprocessing.mean:
            block -= np.array(preprocessing.mean)
        if preprocessing.std:
            block /= np.array(preprocessing.std)
        made[start : start + step] = _channels_first(block) if preprocessing.channels_first else block
    return made


def apply_each(
    preprocessing: Sequence[variant_pb2.Preprocessing], inputs: Sequence[NDArray[Any]]
) -> tuple[NDArray[Any], ...]:
    """`apply` for each input of a model; none at all leaves every input as it is.

    Raises:
        ValueError: as `output_shape`, or where the two differ in number.
    """
    if not preprocessing:
        return tuple(inputs)
    if len(preprocessing) != len(inputs):
        raise ValueError(
            f"there is preprocessing for {len(preprocessing)} inputs, and there are {len(inputs)}"
        )
    return tuple(apply(how, array) for how, array in zip(preprocessing, inputs, strict=True))


def _channels_first(array: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    return np.ascontiguousarray(np.moveaxis(array, -1, 1))


def _has_arithmetic(preprocessing: variant_pb2.Preprocessing) -> bool:
    return preprocessing.HasField("scale") or bool(preprocessing.mean) or bool(preprocessing.std)


def _number(key: str, written: str) -> float:
    over, slash, under = written.partition("/")
    numbers = [_NUMBER.fullmatch(piece) for piece in ((over, under) if slash else (over,))]
    if not all(numbers):
        raise ValueError(f"{key} has {written.strip()!r}: write a number, such as 0.5 or 1/255")
    values = [float(match[1]) for match in numbers if match]
    if slash and values[1] == 0:
        raise ValueError(f"{key} has {written.strip()!r}, which divides by zero")
    return values[0] / values[1] if slash else values[0]


def _check_numbers(preprocessing: variant_pb2.Preprocessing) -> None:
    scale = [preprocessing.scale] if preprocessing.HasField("scale") else []
    for key, numbers in (("scale", scale), ("mean", preprocessing.mean), ("std", preprocessing.std)):
        for number in numbers:
            if not math.isfinite(number):
                raise ValueError(f"{key} has a number that is too large")
            if number == 0 and key != "mean":
                what = "every sample would be the same" if key == "scale" else "it divides by zero"
                raise ValueError(f"{key} has 0: {what}")


def _shown(number: float) -> str:
    denominator = round(1 / number) if abs(number) >= 1 / _LARGEST_DENOMINATOR else 0
    if abs(denominator) > 1 and 1 / denominator == number and len(repr(number)) > _LONG_DIGITS:
        return f"1/{denominator}"
    return repr(number)
