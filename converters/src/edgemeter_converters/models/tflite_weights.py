"""The weights in a .tflite file, counted. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.models.tflite_graph import FLOATS, Graph, Tensor

_PACKED = {"int4": 4, "uint4": 4, "int2": 2}
"""Bits of a number where several share a byte, the first in the lowest bits."""


def count(graphs: Iterable[Graph]) -> tuple[int, int]:
    """Numbers, and numbers other than zero, in the constant tensors that are float or quantized.

    Integers without a scale (shapes, axes, paddings) are not weights. What a converter folds away, such as
    batch normalization, is not counted, since it is not there. Tensors may share a buffer: it is stored, and
    so counted, once.
    """
    counted: dict[int, tuple[int, int]] = {}
    for graph in graphs:
        for tensor in graph.tensors:
            if is_weight(tensor):
                stored = values(tensor)
                zero = tensor.zero_points[0] if len(tensor.zero_points) == 1 else 0
                counted[tensor.buffer] = stored.size, int(np.count_nonzero(stored != zero))
    return sum(size for size, _ in counted.values()), sum(non_zero for _, non_zero in counted.values())


def is_weight(tensor: Tensor) -> bool:
    return tensor.constant and (tensor.dtype in FLOATS or len(tensor.scales) > 0)


def values(tensor: Tensor) -> NDArray[np.generic]:
    """A constant's numbers as they are stored, one dimension, without a scale applied."""
    if tensor.data is None:
        raise ValueError(f"{tensor.name} is no constant")
    bits = _PACKED.get(tensor.dtype)
    if bits is None:
        plain: NDArray[np.generic] = tensor.data.view(np.dtype(tensor.dtype))
        return plain
    places = np.arange(0, 8, bits, dtype=np.uint8)
    spread = (tensor.data[:, None] >> places) & (2**bits - 1)
    unpacked: NDArray[np.int8] = spread.reshape(-1)[: tensor.size].astype(np.int8)
    if tensor.dtype.startswith("int"):
        # Two's complement.
        unpacked[unpacked >= 2 ** (bits - 1)] -= 2**bits
    return unpacked
