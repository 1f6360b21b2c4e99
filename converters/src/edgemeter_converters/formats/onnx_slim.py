"""Taking out of a graph of Quantize/Dequantize pairs what says nothing: most of a small network's file.

For conversion workers only.
"""

from __future__ import annotations

from typing import Any

from edgemeter_converters.formats.onnx_graph import consumers
from edgemeter_converters.models.onnx_weights import array_of, is_float

_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})


def slim(graph: Any) -> None:
    """Leaves out zero points that are zero where that is what no zero point means, stores equal scales and
    zero points once, and gives short names to whatever stands between layers."""
    _leave_out_zero_points(graph)
    _store_once(graph)
    _shorten(graph)


def _leave_out_zero_points(graph: Any) -> None:
    from onnx import TensorProto

    tensors = {tensor.name: tensor for tensor in graph.initializer}
    users = consumers(graph)
    for node in graph.node:
        # Of weights alone: runtimes look for those of activations when they fuse.
        if node.op_type != "DequantizeLinear" or len(node.input) < 3 or node.input[0] not in tensors:
            continue
        bias = tensors[node.input[0]].data_type == TensorProto.INT32
        # Before onnxruntime 1.31 a fused Gemm fails without its weights' zero points.
        convolved = all(user.op_type in _CONVOLUTIONS for user in users.get(node.output[0], []))
        point = tensors.get(node.input[2])
        if (bias or convolved) and point is not None and not array_of(point).any():
            del node.input[2]


def _store_once(graph: Any) -> None:
    """Scalars and integers that are the same; weights are left alone, since each counts."""
    first: dict[tuple[object, ...], str] = {}
    same: dict[str, str] = {}
    weights = {node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    for tensor in graph.initializer:
        if tensor.name in weights or (is_float(tensor) and tensor.dims):
            continue
        key = (tensor.data_type, tuple(tensor.dims), array_of(tensor).tobytes())
        same[tensor.name] = first.setdefault(key, tensor.name)
    for node in graph.node:
        for at, name in enumerate(node.input):
            node.input[at] = same.get(name, name)


def _shorten(graph: Any) -> None:
    layers = {node.name for node in graph.node}
    kept = {value.name for value in (*graph.input, *graph.output)} | layers
    if any(attribute.HasField("g") for node in graph.node for attribute in node.attribute):
        # What subgraphs read from outside is read by name.
        return
    names: dict[str, str] = {}

    def short(name: str) -> str:
        if not name or name in kept:
            return name
        if name not in names:
            candidate = f"v{len(names)}"
            while candidate in kept:
                candidate += "_"
            names[name] = candidate
        return names[name]

    for node in graph.node:
        for values in (node.input, node.output):
            for at, name in enumerate(values):
                values[at] = short(name)
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            node.name = ""
    for tensor in graph.initializer:
        tensor.name = short(tensor.name)
