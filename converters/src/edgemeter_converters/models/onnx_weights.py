"""Which of an ONNX model's constants are weights, and how many numbers they hold.

Weights are floating-point initializers of at least one dimension, and integer ones that a quantized operator
reads as numbers of a layer. Scales and zero points are how those are written down, and are not counted, nor
are shapes, axes, paddings and the scalars of formulas. For conversion workers only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

_INTEGERS: Mapping[str, Mapping[int, int | None]] = MappingProxyType(
    {
        "DequantizeLinear": {0: 2},
        "QLinearConv": {3: 5, 8: None},
        "QLinearMatMul": {0: 2, 3: 5},
        "QGemm": {3: 5, 6: None},
        "QLinearAdd": {0: 2, 3: 5},
        "QLinearMul": {0: 2, 3: 5},
        "ConvInteger": {1: 3},
        "MatMulInteger": {1: 3},
        "DynamicQuantizeLSTM": {1: 9, 2: 11},
    }
)
"""By operator: the inputs that may hold integer weights, and the input with the zero point of each."""

_NO_FLOATS: Mapping[str, frozenset[int]] = MappingProxyType(
    {
        "QuantizeLinear": frozenset({1}),
        "DequantizeLinear": frozenset({1}),
        # Initial states, which are no weights unless someone made them so.
        "LSTM": frozenset({5, 6}),
        "GRU": frozenset({5}),
        "RNN": frozenset({5}),
        # Those, and scales.
        "DynamicQuantizeLSTM": frozenset({5, 6, 8, 10}),
        # Regions and scales.
        "Resize": frozenset({1, 2}),
        "Upsample": frozenset({1}),
    }
)
"""By operator: the inputs whose floats are no weights. Those of QGemm, and of operators whose names begin
with QLinear, never are."""

_PASSES_ON = frozenset({"DequantizeLinear", "QuantizeLinear", "Cast", "Transpose", "Reshape", "Identity"})
"""What stands between a weight and the layer that it belongs to."""


@dataclass(frozen=True, kw_only=True)
class Weight:
    """One tensor of weights.

    Attributes:
        size: how many numbers it holds.
        non_zero: how many of them stand for another number than zero.
        node: the name of the first node that uses it.
    """

    size: int
    non_zero: int
    node: str


def weights(model: Any) -> dict[str, Weight]:
    """By the initializer's name, each once however often it is used; of subgraphs too."""
    from edgemeter_converters.models.onnx import graphs

    found: dict[str, Weight] = {}
    for graph in graphs(model):
        _add_weights(graph, found)
    return found


def _add_weights(graph: Any, found: dict[str, Weight]) -> None:
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    uses: dict[str, list[tuple[Any, int]]] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            uses.setdefault(name, []).append((node, place))
    for name, tensor in tensors.items():
        if not tensor.dims:
            continue
        zero_point = _zero_point(tensor, uses.get(name, []), tensors)
        if zero_point is None:
            continue
        values = array_of(tensor)
        found[name] = Weight(
            size=values.size,
            non_zero=int(np.count_nonzero(values != zero_point)),
            node=_layer(name, uses),
        )


def _zero_point(
    tensor: Any, used: list[tuple[Any, int]], tensors: Mapping[str, Any]
) -> NDArray[Any] | float | None:
    """What stands for zero in a tensor of weights; None where it holds none."""
    if is_float(tensor):
        base, is_scale, _ = tensor.name.rpartition("_scale")
        if is_scale and f"{base}_quantized" in tensors:
            return None
        weighs = [
            place not in _NO_FLOATS.get(node.op_type, ()) and not _is_qlinear(node) for node, place in used
        ]
        return 0.0 if any(weighs) else None
    for node, place in used:
        if node.op_type == "Gather" and place == 0 and tensor.name.endswith("_quantized"):
            point = tensors.get(tensor.name.removesuffix("_quantized") + "_zero_point")
            return 0.0 if point is None else array_of(point).flat[0]
        places = _INTEGERS.get(node.op_type, {})
        if place in places:
            at = places[place]
            point = tensors.get(node.input[at]) if at is not None and at < len(node.input) else None
            return _spread(point, tensor)
    return None


def _spread(point: Any, tensor: Any) -> NDArray[Any] | float:
    """A zero point so shaped that it broadcasts over the tensor."""
    if point is None:
        return 0.0
    values = array_of(point)
    if not values.any():
        return 0.0
    if values.size == 1:
        return float(values.flat[0])
    axis = list(tensor.dims).index(values.size)
    return values.reshape([-1 if at == axis else 1 for at in range(len(tensor.dims))])


def is_float(tensor: Any) -> bool:
    from onnx import TensorProto

    floats = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
    return any(tensor.data_type == each for each in floats)


def array_of(tensor: Any) -> NDArray[Any]:
    """A tensor's numbers; those of types that numpy lacks as float32 or int8."""
    from onnx import TensorProto, numpy_helper

    values: NDArray[Any] = numpy_helper.to_array(tensor)
    if tensor.data_type == TensorProto.BFLOAT16:
        return values.astype(np.float32)
    if tensor.data_type in (TensorProto.INT4, TensorProto.UINT4):
        return values.astype(np.int8)
    return values


def _is_qlinear(node: Any) -> bool:
    kind = str(node.op_type)
    return kind.startswith("QLinear") or kind == "QGemm"


def _layer(name: str, uses: Mapping[str, list[tuple[Any, int]]]) -> str:
    node = uses[name][0][0]
    seen = 0
    while node.op_type in _PASSES_ON and uses.get(node.output[0]) and seen < 8:
        node = uses[node.output[0]][0][0]
        seen += 1
    return str(node.name)
