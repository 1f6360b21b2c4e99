"""ONNX with small weights and float arithmetic: weight-only int8 and int4, and float16.

Integer weights are written as constants behind DequantizeLinear, ONNX's own operator, not as com.microsoft's
MatMulNBits: that one takes matrices alone, and on the processor's float32 path is slower (four products of
512 x 512 with 16 rows: int8 1800 for 290 µs, int4 490 for 320 µs, float32 250 µs; onnxruntime 1.31, x86-64).
Of such a constant before a MatMul ONNX Runtime may make an operator of its own, which rounds activations too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats.onnx_graph import (
    BLOCKED_IR_VERSION,
    BLOCKED_OPSET,
    consumers,
    layer_nodes,
    refusals,
    tidy,
    with_opset,
)
from edgemeter_converters.models.onnx_weights import array_of

INT4_BLOCK = 32
"""Numbers along a matrix's summed dimension that share a scale, as in the GGUF formats and by MatMulNBits'
custom: 16 levels do not do for a whole row."""

PLACES = MappingProxyType(
    {
        "Conv": (1,),
        "ConvTranspose": (1,),
        "Gemm": (1,),
        "MatMul": (1,),
        "Gather": (0,),
        "LSTM": (1, 2),
        "GRU": (1, 2),
        "RNN": (1, 2),
    }
)
"""Layers with weights, and which of their inputs those are."""


def quantize_weights(proto: Any, bits: int, kept: frozenset[str]) -> Any:
    """Symmetric integer weights: [-127, 127] or [-7, 7] times a scale.

    Convolutions have a scale for each output channel, embeddings for each row, recurrent weights for each row
    and direction; matrices for each column. At four bits, matrices and convolutions have one for each
    `INT4_BLOCK` numbers along the dimension that is summed over, and depthwise convolutions have eight bits.

    Args:
        proto: as `float_graph` gives it; may be changed.
        kept: names of layers to leave in float.

    Raises:
        ConversionError: no layer has weights that are constants.
    """
    proto = with_opset(proto, BLOCKED_OPSET)
    proto.ir_version = max(proto.ir_version, BLOCKED_IR_VERSION)
    graph = proto.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    users = consumers(graph)
    chosen: dict[str, tuple[Any, int]] = {}
    weighted = 0
    for node, place in _weighted(graph):
        name = node.input[place]
        if name not in tensors or tensors[name].data_type != 1:
            continue
        weighted += 1
        # A weight that layers share is quantized for all of them or for none.
        if all(user.name not in kept for user in users[name]):
            chosen.setdefault(name, (node, place))
    if not weighted:
        kinds = ", ".join(sorted({node.op_type for node in graph.node}))
        raise ConversionError(
            f"no layer of the model has float32 weights to make integers of; it has {kinds}"
        )
    decoders = [_encoded(graph, tensors[name], node, bits) for name, (node, _) in chosen.items()]
    nodes = [*decoders, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    tidy(proto)
    return proto


def to_float16(proto: Any) -> Any:
    """float16 throughout but for inputs and outputs, and for operators that have no float16 or lose too much
    in it (running sums, ranges, minima, …), which are left in float32 between casts.

    Raises:
        ConversionError: the tool can't.
    """
    from onnxruntime.transformers import float16

    with refusals("ONNX Runtime can't make the model float16"):
        converted = float16.convert_float_to_float16(proto, keep_io_types=True)
    _sort(converted.graph)
    tidy(converted)
    return converted


def _weighted(graph: Any) -> Iterator[tuple[Any, int]]:
    for node in layer_nodes(graph):
        for place in PLACES.get(node.op_type, ()):
            yield node, place


def _encoded(graph: Any, tensor: Any, node: Any, bits: int) -> Any:
    """Puts integers and scales in a weight's place; the node that makes the weight of them."""
    from onnx import TensorProto, helper, numpy_helper

    values = array_of(tensor)
    if node.op_type == "Conv" and values.shape[1] == 1:
        # Depthwise: a few weights, each of which counts.
        bits = 8
    axis, block = _blocks(node, values.shape, bits)
    limit = 2 ** (bits - 1) - 1
    integers, scales = encode(values, axis, block, limit)
    name = tensor.name
    graph.initializer.remove(tensor)
    if bits == 4:
        # As raw bytes: the tool's own way of writing them down takes half as much again.
        stored = helper.make_tensor(
            f"{name}_quantized", TensorProto.INT4, values.shape, packed(integers), raw=True
        )
    else:
        stored = numpy_helper.from_array(integers, f"{name}_quantized")
    graph.initializer.extend([stored, numpy_helper.from_array(scales, f"{name}_scale")])
    attributes = {"axis": axis} | ({"block_size": block} if block else {})
    return helper.make_node(
        "DequantizeLinear",
        [f"{name}_quantized", f"{name}_scale"],
        [name],
        name=f"{name}_DequantizeLinear",
        **attributes,
    )


def _blocks(node: Any, shape: tuple[int, ...], bits: int) -> tuple[int, int]:
    """DequantizeLinear's axis and block size for a layer's weights; 0 for a scale a slice along the axis."""
    if node.op_type in ("MatMul", "Gemm"):
        transposed = any(each.name == "transB" and each.i for each in node.attribute)
        summed = len(shape) - (1 if transposed else 2)
        # A block as long as the column is a scale for each column; on onnxruntime 1.23 it is decoded three
        # times as fast as if it were written with the column's own axis.
        return summed, min(INT4_BLOCK, shape[summed]) if bits == 4 else shape[summed]
    if node.op_type in ("LSTM", "GRU", "RNN"):
        return len(shape) - 1, shape[-1]
    if node.op_type == "Conv" and bits == 4 and shape[1] > 1:
        # Along the input channels: 4 dB less noise over EfficientNet-lite0 than a scale a channel, though far
        # too much yet.
        return 1, min(INT4_BLOCK, shape[1])
    # A transposed convolution has its output channels, of a group, second.
    return (1 if node.op_type == "ConvTranspose" else 0), 0


def encode(
    values: NDArray[Any], axis: int, block: int, limit: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Integers in [-limit, limit], and scales as DequantizeLinear takes them. Pure.

    Args:
        block: numbers along `axis` that share a scale; 0 for all that are in one slice along it.
    """
    magnitudes = np.abs(values)
    if not block:
        others = tuple(at for at in range(values.ndim) if at != axis)
        scales = magnitudes.max(axis=others, initial=0.0) / limit
        spread = scales.reshape([-1 if at == axis else 1 for at in range(values.ndim)])
    else:
        count = math.ceil(values.shape[axis] / block)
        starts = np.arange(count) * block
        scales = np.maximum.reduceat(magnitudes, starts, axis=axis) / limit
        spread = np.repeat(scales, block, axis=axis).take(range(values.shape[axis]), axis=axis)
    integers = np.rint(values / np.where(spread > 0, spread, 1.0))
    # A slice of zeros: any scale does but zero, by which runtimes may not divide.
    scales = np.where(scales > 0, scales, 1.0)
    return np.clip(integers, -limit, limit).astype(np.int8), scales.astype(np.float32)


def packed(integers: NDArray[np.int8]) -> bytes:
    """Two 4-bit integers a byte, the first in the lower half; an odd last one alone. Pure."""
    halves = np.append(integers.flatten().view(np.uint8) & 0xF, np.zeros(integers.size % 2, np.uint8))
    content: bytes = (halves[0::2] | (halves[1::2] << 4)).tobytes()
    return content


def _sort(graph: Any) -> None:
    """Nodes after those whose outputs they take: casts were put at the end."""
    produced = {name for node in graph.node for name in node.output}
    waiting, nodes = list(graph.node), []
    done: set[str] = set()
    while waiting:
        ready = [node for node in waiting if all(name in done or name not in produced for name in node.input)]
        if not ready:
            raise ConversionError("the float16 model's nodes feed each other in a circle")
        nodes.extend(ready)
        done.update(name for node in ready for name in node.output)
        names = {id(node) for node in ready}
        waiting = [node for node in waiting if id(node) not in names]
    del graph.node[:]
    graph.node.extend(nodes)
