"""What an ONNX model consists of. For conversion workers only."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from edgemeter_converters.models import onnx_weights
from edgemeter_converters.models.model import Anatomy, LayerCount
from edgemeter_converters.models.onnx import session
from edgemeter_protos.v1 import variant_pb2

Shape = tuple[int, ...]
_Macs = Callable[[Any, Sequence[Shape], Shape], int]


def _conv(weight_at: int) -> _Macs:
    """Each output number is a sum over (input channels of its group) x kernel: the weight without its first
    dimension."""
    return lambda _node, inputs, output: math.prod(output) * math.prod(inputs[weight_at][1:])


def _conv_transpose(_node: Any, inputs: Sequence[Shape], _output: Shape) -> int:
    """Each input number goes into (output channels of its group) x kernel sums."""
    return math.prod(inputs[0]) * math.prod(inputs[1][1:])


def _gemm(node: Any, inputs: Sequence[Shape], output: Shape) -> int:
    transposed = any(each.name == "transA" and each.i for each in node.attribute)
    return math.prod(output) * inputs[0][0 if transposed else 1]


def _matmul(_node: Any, inputs: Sequence[Shape], output: Shape) -> int:
    return math.prod(output) * inputs[0][-1]


def _recurrent(_node: Any, inputs: Sequence[Shape], _output: Shape) -> int:
    """Each step multiplies with all of the input's and all of the state's weights; what gates do element by
    element is left out, as activations are."""
    sequence = inputs[0][0] * inputs[0][1]
    return sequence * (math.prod(inputs[1]) + math.prod(inputs[2]))


def _attention(_node: Any, inputs: Sequence[Shape], output: Shape) -> int:
    """Scores over the keys, and sums over the values; heads have a dimension, or are packed in the last."""
    query, key = inputs[0], inputs[1]
    return (math.prod(query) + math.prod(output)) * key[-2]


def _einsum(node: Any, inputs: Sequence[Shape], _output: Shape) -> int:
    """One for each combination of all indices; an ellipsis is not counted."""
    equation = next(each.s.decode() for each in node.attribute if each.name == "equation")
    terms = equation.replace(" ", "").split("->")[0].split(",")
    if len(terms) < 2 or "." in equation:
        return 0
    sizes = {
        index: size
        for term, shape in zip(terms, inputs, strict=True)
        for index, size in zip(term, shape, strict=True)
    }
    return math.prod(sizes.values())


_MACS: Mapping[str, _Macs] = MappingProxyType(
    {
        "Conv": _conv(1),
        "FusedConv": _conv(1),
        "ConvInteger": _conv(1),
        "QLinearConv": _conv(3),
        "ConvTranspose": _conv_transpose,
        "Gemm": _gemm,
        "QGemm": _gemm,
        "MatMul": _matmul,
        "FusedMatMul": _matmul,
        "MatMulInteger": _matmul,
        "QLinearMatMul": _matmul,
        "LSTM": _recurrent,
        "GRU": _recurrent,
        "RNN": _recurrent,
        "Attention": _attention,
        "Einsum": _einsum,
    }
)


def anatomy(network: Any, signature: variant_pb2.Signature) -> Anatomy:
    """Layers are nodes, of the main graph, by their operators; multiply-accumulates are of one sample.

    Args:
        network: the content of an .onnx, as `models.onnx.load` gives it.
    """
    import onnx

    model = onnx.ModelProto.FromString(network)
    found = onnx_weights.weights(model)
    kinds = {node.name: node.op_type for node in model.graph.node}
    counts = Counter(kinds.values())
    parameters: Counter[str] = Counter()
    for weight in found.values():
        if weight.node in kinds:
            parameters[kinds[weight.node]] += weight.size
    return Anatomy(
        macs=_macs(model, signature),
        layers=tuple(
            LayerCount(kind=kind, count=count, parameters=parameters[kind])
            for kind, count in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
        ),
        non_zero_parameters=sum(weight.non_zero for weight in found.values()),
    )


def _counted(node: Any) -> bool:
    # com.microsoft's Attention has its projections in it, and other inputs.
    return node.op_type in _MACS and not (node.op_type == "Attention" and node.domain)


def _macs(model: Any, signature: variant_pb2.Signature) -> int:
    """0 where a dimension beside the batch is free.

    The network is run once on zeros, and asked for shapes alone: inferring them from the graph fails where
    Reshape and its like compute one shape from another.
    """
    from onnx import helper

    if any(-1 in spec.shape[1:] for spec in signature.inputs):
        return 0
    nodes = [node for node in model.graph.node if _counted(node)]
    wanted = list(dict.fromkeys(name for node in nodes for name in (*node.input, node.output[0]) if name))
    if not wanted:
        return 0
    del model.graph.output[:]
    for at, name in enumerate(wanted):
        model.graph.node.append(helper.make_node("Shape", [name], [f"edgemeter_shape_{at}"]))
        model.graph.output.append(helper.make_empty_tensor_value_info(f"edgemeter_shape_{at}"))
    feed = {spec.name: np.zeros((1, *spec.shape[1:]), np.dtype(spec.dtype)) for spec in signature.inputs}
    found = session(model.SerializeToString(), optimized=False).run(None, feed)
    shapes: dict[str, Shape] = {
        name: tuple(map(int, shape)) for name, shape in zip(wanted, found, strict=True)
    }
    shapes[""] = ()
    return sum(
        _MACS[node.op_type](node, [shapes[name] for name in node.input], shapes[node.output[0]])
        for node in nodes
    )
