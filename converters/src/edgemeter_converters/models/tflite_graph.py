"""What a .tflite file holds: tensors, ops, and the layers that the ops come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.models import tflite_names

CONVERSIONS = frozenset({"QUANTIZE", "DEQUANTIZE"})
"""Ops that change how numbers are written, not what they are."""

FLOATS = frozenset({"float32", "float16", "float64"})


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One tensor.

    Attributes:
        dtype: "float32", "int8", "int4", …
        shape: of a file's fixed sizes; a free one is 1.
        data: of a constant, bytes as they are stored; None for what is computed.
        buffer: tensors that share one share its bytes.
        scales, zero_points: one, or one a channel; empty where the numbers stand for themselves.
        channel_axis: of the scales, where there is one a channel.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: NDArray[np.uint8] | None
    buffer: int
    scales: NDArray[np.float32]
    zero_points: NDArray[np.int64]
    channel_axis: int

    @property
    def constant(self) -> bool:
        return self.data is not None

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, kw_only=True)
class Op:
    """One op.

    Attributes:
        kind: "CONV_2D", …; a custom op's own name.
        inputs, outputs: places in `Graph.tensors`; -1 for an input that is left out.
        layer: the path of the layer that it is counted to.
        layers: of all the layers that were fused into it.
    """

    kind: str
    custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    layer: str
    layers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A file's main graph, or one that its control flow calls."""

    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read(content: bytes) -> tuple[Graph, ...]:
    """The file's graphs, the main one first.

    Raises whatever a flatbuffer that is none happens to raise.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    kinds = _names(schema.BuiltinOperator)
    dtypes = {number: name.lower() for number, name in _names(schema.TensorType).items()}
    codes = [_kind(code, kinds) for code in model.operatorCodes]
    contents = [constant_bytes(buffer, content) for buffer in model.buffers]
    graphs = []
    for graph in model.subgraphs:
        tensors = tuple(_tensor(each, contents, dtypes) for each in graph.tensors)
        graphs.append(
            Graph(
                tensors=tensors,
                ops=_ops(graph.operators or [], codes, tensors),
                inputs=_places(graph.inputs),
                outputs=_places(graph.outputs),
            )
        )
    return tuple(graphs)


def signature_names(content: bytes) -> tuple[list[str], list[str]]:
    """Names of the file's inputs and outputs in its first signature, in the main graph's order."""
    graph, names = _signature(content)
    inputs = {names.Inputs(at).TensorIndex(): names.Inputs(at).Name() for at in range(names.InputsLength())}
    outputs = {
        names.Outputs(at).TensorIndex(): names.Outputs(at).Name() for at in range(names.OutputsLength())
    }
    return (
        [inputs[index].decode() for index in graph.InputsAsNumpy()],
        [outputs[index].decode() for index in graph.OutputsAsNumpy()],
    )


def ordered(content: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """The file with its inputs and outputs in the order of these names of its signature: tools scramble them.

    Raises:
        KeyError: the signature has no such name.
    """
    changed = bytearray(content)
    graph, names = _signature(changed)
    taken = {names.Inputs(at).Name(): names.Inputs(at).TensorIndex() for at in range(names.InputsLength())}
    given = {names.Outputs(at).Name(): names.Outputs(at).TensorIndex() for at in range(names.OutputsLength())}
    # Views of `changed`: assigning to them changes the file where it stands.
    graph.InputsAsNumpy()[:] = [taken[name.encode()] for name in inputs]
    graph.OutputsAsNumpy()[:] = [given[name.encode()] for name in outputs]
    return bytes(changed)


def _signature(content: bytes | bytearray) -> tuple[Any, Any]:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAsModel(content, 0)
    names = model.SignatureDefs(0)
    return model.Subgraphs(names.SubgraphIndex()), names


def _names(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _kind(code: Any, kinds: dict[int, str]) -> tuple[str, bool]:
    # Files from before 2020 have the op's number in the field that holds up to 127 only.
    kind = kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]
    if kind != "CUSTOM":
        return kind, False
    return (code.customCode or b"unnamed").decode(errors="replace"), True


def _places(places: Any) -> tuple[int, ...]:
    return () if places is None else tuple(int(place) for place in places)


def constant_bytes(buffer: Any, content: bytes) -> NDArray[np.uint8] | None:
    """A buffer's bytes, which may lie behind the flatbuffer in the same file; None where it has none.

    schema.fbs: an offset of 0 or 1 is none.
    """
    if buffer.data is not None and len(buffer.data):
        return np.asarray(buffer.data, dtype=np.uint8)
    if buffer.offset > 1 and buffer.size:
        return np.frombuffer(content, dtype=np.uint8, count=buffer.size, offset=buffer.offset)
    return None


def _tensor(tensor: Any, contents: Sequence[NDArray[np.uint8] | None], dtypes: dict[int, str]) -> Tensor:
    quantization = tensor.quantization
    scales = None if quantization is None else quantization.scale
    zero_points = None if quantization is None else quantization.zeroPoint
    return Tensor(
        name=(tensor.name or b"").decode(errors="replace"),
        dtype=dtypes[tensor.type],
        shape=_places(tensor.shape),
        data=contents[tensor.buffer] if tensor.buffer else None,
        buffer=tensor.buffer,
        scales=np.asarray([] if scales is None else scales, dtype=np.float32),
        zero_points=np.asarray([] if zero_points is None else zero_points, dtype=np.int64),
        channel_axis=0 if quantization is None else int(quantization.quantizedDimension),
    )


def _ops(
    operators: Sequence[Any], codes: Sequence[tuple[str, bool]], tensors: Sequence[Tensor]
) -> tuple[Op, ...]:
    ops: list[Op] = []
    made_by: dict[int, Op] = {}
    nameless: Counter[str] = Counter()
    for operator in operators:
        kind, custom = codes[operator.opcodeIndex]
        inputs, outputs = _places(operator.inputs), _places(operator.outputs)
        layer, layers = _layers(kind, inputs, outputs, tensors, made_by)
        if not layers:
            nameless[kind] += 1
            layer = f"{kind.lower()}_{nameless[kind]}"
            layers = (layer,)
        op = Op(kind=kind, custom=custom, inputs=inputs, outputs=outputs, layer=layer, layers=layers)
        ops.append(op)
        made_by |= dict.fromkeys(outputs, op)
    return tuple(ops)


def _layers(
    kind: str,
    inputs: Sequence[int],
    outputs: Sequence[int],
    tensors: Sequence[Tensor],
    made_by: dict[int, Op],
) -> tuple[str, tuple[str, ...]]:
    """The layer that an op is counted to, and all that are fused into it; none where no name tells."""
    named = [path for place in outputs for path in tflite_names.layers_of(tensors[place].name)]
    constants = [tensors[place] for place in inputs if place >= 0 and tensors[place].constant]
    weights = [path for each in constants for path in tflite_names.layers_of(each.name)]
    if named:
        # The layer with the weights, which comes last where an activation is fused to it.
        return (weights[-1] if weights and weights[-1] in named else named[-1]), tuple(dict.fromkeys(named))
    if weights:
        return weights[-1], tuple(dict.fromkeys(weights))
    makers = [made_by[place] for place in inputs if place in made_by]
    is_output = any(tensors[place].name.startswith(_OUTPUT_NAMES) for place in outputs)
    if makers and (is_output or kind in CONVERSIONS):
        # What the file gives is named after the signature, not after its layer: Dense's softmax, for one.
        return makers[0].layer, makers[0].layers
    return "", ()


_OUTPUT_NAMES = ("StatefulPartitionedCall", "serving_default_", "PartitionedCall")
