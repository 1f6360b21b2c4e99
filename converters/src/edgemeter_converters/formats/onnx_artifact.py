"""An .onnx file, looked at and run by ONNX Runtime on one thread. For conversion workers only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.formats.onnx_graph import ACTIVATIONS, LAYERS, consumers
from edgemeter_converters.models import onnx_weights
from edgemeter_converters.models.onnx import DTYPES, run_one_by_one, session
from edgemeter_protos.v1 import variant_pb2

_FLOAT_KINDS = MappingProxyType(
    {
        "QLinearConv": "Conv",
        "ConvInteger": "Conv",
        "QLinearMatMul": "MatMul",
        "MatMulInteger": "MatMul",
        "QGemm": "Gemm",
        "QLinearSoftmax": "Softmax",
        "DynamicQuantizeLSTM": "LSTM",
    }
)

_OUTPUT_SCALES = MappingProxyType(
    {"QLinearConv": (6, 7), "QLinearMatMul": (6, 7), "QGemm": (7, 8), "QLinearSoftmax": (3, 4)}
)
"""Inputs with the scale and the zero point of what a quantized operator gives, in integers."""

_BETWEEN = frozenset({"Cast", "Mul", "Add", "QuantizeLinear", "DequantizeLinear"}) | ACTIVATIONS
"""What an encoding puts between a layer and the value that it stands for."""


@dataclass(frozen=True, kw_only=True)
class _Tap:
    """Where a layer's value is read: a tensor, and what its integers stand for."""

    layer: str
    kind: str
    tensor: str
    scale: float = 1.0
    zero_point: int = 0


class ONNXArtifact:
    notes: tuple[str, ...] = ()

    def __init__(self, content: bytes) -> None:
        import onnx

        self.content = content
        self._default = session(content)
        self.model = onnx.ModelProto.FromString(content)
        self.signature = variant_pb2.Signature(
            inputs=[_spec(each) for each in self._default.get_inputs()],
            outputs=[_spec(each) for each in self._default.get_outputs()],
        )
        counted = onnx_weights.weights(self.model).values()
        self.parameters = sum(weight.size for weight in counted)
        self.non_zero_parameters = sum(weight.non_zero for weight in counted)

    def run(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """As ONNX Runtime runs it by default: operators fused, integer kernels where there are some."""
        return _real(run_one_by_one(self._default, inputs))

    def run_reference(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """Operator by operator, as the file has them: Quantize/Dequantize pairs around float arithmetic."""
        return _real(run_one_by_one(self._plain, inputs))

    def run_layers(self, inputs: Sequence[NDArray[Any]]) -> dict[str, tuple[str, NDArray[Any]]]:
        """By layer: its kind, and what it hands on, behind an activation that it alone feeds."""
        import onnx
        from onnx import helper

        taps = _taps(self.model.graph)
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        there = {value.name for value in model.graph.output}
        for name in dict.fromkeys(tap.tensor for tap in taps if tap.tensor not in there):
            model.graph.output.append(helper.make_empty_tensor_value_info(name))
        loaded = session(model.SerializeToString())
        inputs_taken = [(each.name, DTYPES[each.type]) for each in loaded.get_inputs()]
        names = [tap.tensor for tap in taps]
        rows = []
        for sample in range(len(inputs[0])):
            feed = {
                name: np.ascontiguousarray(array[sample : sample + 1], dtype=dtype)
                for (name, dtype), array in zip(inputs_taken, inputs, strict=True)
            }
            rows.append(loaded.run(names, feed))
        return {
            tap.layer: (tap.kind, _stacked([row[at] for row in rows], tap)) for at, tap in enumerate(taps)
        }

    @cached_property
    def _plain(self) -> Any:
        return session(self.content, optimized=False)


def _spec(tensor: Any) -> variant_pb2.TensorSpec:
    shape = [size if isinstance(size, int) and size > 0 else -1 for size in tensor.shape]
    return variant_pb2.TensorSpec(name=tensor.name, dtype=DTYPES[tensor.type], shape=shape)


def _real(outputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    return tuple(output.astype(np.float32) for output in outputs)


def _stacked(values: Sequence[NDArray[Any]], tap: _Tap) -> NDArray[Any]:
    """Batch first: in the batch dimension's place where that is first, else in front of all others."""
    batched = all(value.ndim and value.shape[0] == 1 for value in values)
    together = np.concatenate(values) if batched else np.stack(values)
    return ((together.astype(np.float64) - tap.zero_point) * tap.scale).astype(np.float32)


def _taps(graph: Any) -> list[_Tap]:
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    users = consumers(graph)
    outputs = {value.name for value in graph.output}
    produced = {name for node in graph.node for name in node.output}
    found: dict[str, _Tap] = {}
    for node in graph.node:
        kind = _FLOAT_KINDS.get(node.op_type, node.op_type)
        if kind not in LAYERS or (kind == "Gather" and not _looks_weights_up(node, tensors, graph)):
            continue
        layer = layer_of(node.name)
        stands_for = _output_quantization(node, tensors)
        if stands_for is not None:
            scale, zero_point = (float(onnx_weights.array_of(tensors[name]).flat[0]) for name in stands_for)
            tap = _Tap(layer=layer, kind=kind, tensor=node.output[0], scale=scale, zero_point=int(zero_point))
        else:
            tensor = layer if layer in produced else _followed(node.output[0], users, outputs)
            tap = _Tap(layer=layer, kind=kind, tensor=_restored(tensor, users))
        found.setdefault(layer, tap)
    return list(found.values())


def _output_quantization(node: Any, tensors: dict[str, Any]) -> tuple[str, str] | None:
    """The names of an output's scale and zero point; None where it is of floats."""
    if node.op_type in _OUTPUT_SCALES:
        scale, zero_point = _OUTPUT_SCALES[node.op_type]
        return node.input[scale], node.input[zero_point]
    stem = node.input[0].removesuffix("_quantized")
    if node.op_type == "Gather" and stem != node.input[0] and node.input[0] in tensors:
        # It hands on some of its weights' integers.
        return f"{stem}_scale", f"{stem}_zero_point"
    return None


def layer_of(node_name: str) -> str:
    """The float layer's name that a quantizer made this one of. Pure."""
    return node_name.removesuffix("_quant").removesuffix("_MatMul")


def _looks_weights_up(node: Any, tensors: dict[str, Any], graph: Any) -> bool:
    name = node.input[0]
    if name in tensors:
        return onnx_weights.is_float(tensors[name]) or name.endswith("_quantized")
    makers = [each for each in graph.node if name in each.output]
    return any(each.op_type == "DequantizeLinear" and each.input[0] in tensors for each in makers)


def _followed(tensor: str, users: dict[str, list[Any]], outputs: set[str]) -> str:
    """The file's output that a value ends in, where only what encodings add is between; else itself."""
    here = tensor
    while here not in outputs:
        following = users.get(here, [])
        if len(following) != 1 or following[0].op_type not in _BETWEEN:
            return tensor
        here = following[0].output[0]
    return here


def _restored(tensor: str, users: dict[str, list[Any]]) -> str:
    """What the following layers see of a value: the integers that it is rounded to."""
    for quantizer in users.get(tensor, []):
        if quantizer.op_type == "QuantizeLinear":
            for restorer in users.get(quantizer.output[0], []):
                if restorer.op_type == "DequantizeLinear":
                    return str(restorer.output[0])
    return tensor
