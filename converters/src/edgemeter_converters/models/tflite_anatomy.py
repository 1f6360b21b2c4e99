"""What a .tflite consists of: multiply-accumulates, ops by kind, weights. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from types import MappingProxyType

from edgemeter_converters.models import tflite_graph, tflite_weights
from edgemeter_converters.models.model import Anatomy, LayerCount
from edgemeter_converters.models.tflite_graph import CONVERSIONS, Graph, Op, Tensor
from edgemeter_protos.v1 import variant_pb2


def anatomy(network: bytes, signature: variant_pb2.Signature) -> Anatomy:  # noqa: ARG001
    """Of a file's content. The kinds of layers are those of its ops."""
    return of_graphs(tflite_graph.read(network))


def of_graphs(graphs: Sequence[Graph]) -> Anatomy:
    """Of a file that was read; the graphs that its control flow calls count once, as if run once."""
    kinds: Counter[str] = Counter()
    parameters: Counter[str] = Counter()
    macs = 0
    for graph in graphs:
        for op in graph.ops:
            macs += op_macs(op, graph.tensors)
            if op.kind not in CONVERSIONS:
                kinds[op.kind] += 1
        for buffer, size in _sizes(graph).items():
            parameters[_user(graph, buffer)] += size
    return Anatomy(
        macs=macs,
        layers=tuple(
            LayerCount(kind=kind, count=count, parameters=parameters[kind])
            for kind, count in sorted(kinds.items(), key=lambda each: (-each[1], each[0]))
        ),
        non_zero_parameters=tflite_weights.count(graphs)[1],
    )


def op_macs(op: Op, tensors: Sequence[Tensor]) -> int:
    """Multiply-accumulates of one run of an op; 0 for kinds that are no matrix products."""
    counter = _MACS.get(op.kind)
    if counter is None:
        return 0
    return counter(
        [tensors[place].shape if place >= 0 else () for place in op.inputs], tensors[op.outputs[0]]
    )


def _conv(inputs: Sequence[tuple[int, ...]], output: Tensor) -> int:
    """Weights (out, height, width, in / groups)."""
    return output.size * math.prod(inputs[1][1:])


def _depthwise(inputs: Sequence[tuple[int, ...]], output: Tensor) -> int:
    """Weights (1, height, width, out)."""
    return output.size * math.prod(inputs[1][1:3])


def _transpose_conv(inputs: Sequence[tuple[int, ...]], output: Tensor) -> int:  # noqa: ARG001
    """Inputs: the output's shape, weights (out, height, width, in), the samples."""
    return math.prod(inputs[2]) * math.prod(inputs[1][:3])


def _conv_3d(inputs: Sequence[tuple[int, ...]], output: Tensor) -> int:
    """Weights (depth, height, width, in, out)."""
    return output.size * math.prod(inputs[1][:-1])


def _fully_connected(inputs: Sequence[tuple[int, ...]], output: Tensor) -> int:
    """Weights (out, in)."""
    return output.size * inputs[1][-1]


def _batch_matmul(inputs: Sequence[tuple[int, ...]], output: Tensor) -> int:
    """The inner size, whichever of its dimensions a transposed operand has it in."""
    first = inputs[0]
    return output.size * first[-1] * first[-2] // output.shape[-2]


def _lstm(inputs: Sequence[tuple[int, ...]], output: Tensor) -> int:  # noqa: ARG001
    """Four matrices on the samples, four on the state, one of projection; (), where one is left out."""
    steps = math.prod(inputs[0][:-1])
    return steps * sum(math.prod(shape) for shape in (*inputs[1:9], *inputs[16:17]) if shape)


def _rnn(inputs: Sequence[tuple[int, ...]], output: Tensor) -> int:  # noqa: ARG001
    """A matrix on the samples, one on the state."""
    return math.prod(inputs[0][:-1]) * (math.prod(inputs[1]) + math.prod(inputs[2]))


_MACS: MappingProxyType[str, Callable[[Sequence[tuple[int, ...]], Tensor], int]] = MappingProxyType(
    {
        "CONV_2D": _conv,
        "DEPTHWISE_CONV_2D": _depthwise,
        "TRANSPOSE_CONV": _transpose_conv,
        "CONV_3D": _conv_3d,
        "FULLY_CONNECTED": _fully_connected,
        "BATCH_MATMUL": _batch_matmul,
        "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
        "UNIDIRECTIONAL_SEQUENCE_RNN": _rnn,
    }
)


def _sizes(graph: Graph) -> dict[int, int]:
    return {
        tensor.buffer: tflite_weights.values(tensor).size
        for tensor in graph.tensors
        if tflite_weights.is_weight(tensor)
    }


def _user(graph: Graph, buffer: int) -> str:
    """The kind of the first op that uses a buffer's numbers, through a conversion where there is one."""
    places = {at for at, tensor in enumerate(graph.tensors) if tensor.buffer == buffer}
    for op in graph.ops:
        if places.intersection(op.inputs):
            if op.kind not in CONVERSIONS:
                return op.kind
            places.update(op.outputs)
    return ""
