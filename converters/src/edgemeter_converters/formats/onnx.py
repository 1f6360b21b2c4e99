"""ONNX: torch's exporter writes it, ONNX Runtime's tools encode it.

Files take and give the original's tensors in its order, in float where the original does, in batches of
exactly 1. What is exported here has opset 18 and IR version 8, so that ONNX Runtimes of some years read it; a
model that came as ONNX keeps its opset.
"""

from __future__ import annotations

import fnmatch
from collections import OrderedDict
from typing import Any

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats import onnx_float, onnx_graph, onnx_integer, onnx_weights_only
from edgemeter_converters.formats.format import Encoding, Options
from edgemeter_converters.formats.onnx_artifact import ONNXArtifact
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import OF_LANGUAGE_MODELS, Precision
from edgemeter_protos.v1 import variant_pb2

EXPORTED_SINCE = "1.17.3"
"""Reads opset 18 and IR version 8. Older ones were not tried."""

SINCE = "1.23.0"
"""Reads opset 23, and with it whatever opset a model came in, and 4- and 16-bit integers."""

_WEIGHT_ONLY = frozenset({Precision.WEIGHT_ONLY_INT8, Precision.WEIGHT_ONLY_INT4})

_NEWER = _WEIGHT_ONLY | {Precision.INT16X8, Precision.FLOAT16}
"""Written in opset 21, but for float16: a transformer's gave numbers 280 times as large on 1.17.3, with no
error, and the right ones on 1.23.2."""

_STATIC = frozenset({Precision.INT8, Precision.INT16X8})
_KEEPING = _STATIC | _WEIGHT_ONLY | {Precision.DYNAMIC_INT8}
_PER_CHANNEL = _STATIC | {Precision.DYNAMIC_INT8}

_MAX_GRAPHS = 2

_graphs: OrderedDict[tuple[int, tuple[tuple[int, ...], ...]], tuple[object, bytes]] = OrderedDict()
"""Of this process: float graphs by the network's identity (which is kept, so that no other can have it) and
its inputs' shapes, the last used last: encodings of one model share one export."""


class ONNX:
    name = "onnx"
    suffix = ".onnx"
    precisions = frozenset(Precision) - {Precision.W4A8} - OF_LANGUAGE_MODELS
    frameworks = frozenset({"onnx", "torch", "exported_program", "keras"})

    def tools(self, framework: str, _precision: Precision) -> tuple[tuple[str, ...], ...]:
        exporters: dict[str, tuple[tuple[str, ...], ...]] = {
            "onnx": (),
            "keras": (("keras",), ("torch",), ("onnxscript",)),
        }
        return (*exporters.get(framework, (("torch",), ("onnxscript",))), ("onnx",), ("onnxruntime",))

    def refusal(self, framework: str, precision: Precision, options: Options) -> str:
        if framework not in self.frameworks:
            return f"a {framework} model has no way to ONNX"
        if precision in OF_LANGUAGE_MODELS:
            return f"{precision.value!r} is for language models: choose int8@onnx or weight-only-int4@onnx"
        if precision not in self.precisions:
            return "ONNX Runtime has no 4-bit weights under 8-bit activations on the processor"
        if options.io == "int8":
            return "an ONNX file has no place to say what integers its inputs take stand for: leave io out"
        if options.per_tensor and precision not in _PER_CHANNEL:
            return f"per_tensor does not go with {precision.value!r} in ONNX"
        if options.calibration_method and precision not in _STATIC:
            return f"{precision.value!r} is not calibrated, and takes no method"
        if (options.keep or options.keeps_by_itself) and precision not in _KEEPING:
            return f"{precision.value!r} leaves no layers in float"
        if options.operators == "qoperator" and precision is not Precision.INT8:
            return f"{precision.value!r} has no QLinear operators in ONNX: write operators=qdq"
        return ""

    def runtimes(
        self, framework: str, precision: Precision, _options: Options
    ) -> tuple[variant_pb2.RuntimeRequirement, ...]:
        newer = framework == "onnx" or precision in _NEWER
        requirement = variant_pb2.RuntimeRequirement(
            runtime="onnxruntime", min_version=SINCE if newer else EXPORTED_SINCE
        )
        return (requirement,)

    def layers(self, model: LoadedModel, encoding: Encoding) -> tuple[str, ...]:
        """What the precision quantizes, by the names of torch's modules or the file's nodes."""
        if encoding.precision not in _KEEPING:
            return ()
        return _layers(_float_graph(model, encoding), encoding.precision)

    def encode(self, model: LoadedModel, encoding: Encoding) -> bytes:
        """The file's bytes; the same digest for the same inputs.

        Raises:
            ConversionError: an exporter or a quantizer refuses the model; its reason in one line.
        """
        proto = _float_graph(model, encoding)
        if encoding.precision is not Precision.FLOAT32:
            _refuse_what_is_not_float32(proto, encoding.precision)
        kept = frozenset(
            layer
            for layer in _layers(proto, encoding.precision)
            if any(fnmatch.fnmatchcase(layer, pattern) for pattern in encoding.options.keep)
        )
        match encoding.precision:
            case Precision.FLOAT16:
                proto = onnx_weights_only.to_float16(proto)
            case Precision.INT8 | Precision.INT16X8:
                proto = onnx_integer.quantize_statically(proto, encoding, kept)
            case Precision.DYNAMIC_INT8:
                proto = onnx_integer.quantize_dynamically(proto, encoding, kept)
            case Precision.WEIGHT_ONLY_INT8:
                proto = onnx_weights_only.quantize_weights(proto, 8, kept)
            case Precision.WEIGHT_ONLY_INT4:
                proto = onnx_weights_only.quantize_weights(proto, 4, kept)
        content: bytes = proto.SerializeToString(deterministic=True)
        with onnx_graph.refusals("ONNX Runtime can't run the converted model"):
            ONNXArtifact(content)
        return content

    def open(self, content: bytes) -> ONNXArtifact:
        return ONNXArtifact(content)


def _float_graph(model: LoadedModel, encoding: Encoding) -> Any:
    """A copy of the model's float graph, exported once."""
    import onnx

    key = (id(model.network), encoding.input_shapes)
    if key not in _graphs:
        proto = onnx_float.float_graph(model, encoding.input_shapes, encoding.work_dir)
        _graphs[key] = (model.network, proto.SerializeToString(deterministic=True))
        while len(_graphs) > _MAX_GRAPHS:
            _graphs.popitem(last=False)
    _graphs.move_to_end(key)
    return onnx.ModelProto.FromString(_graphs[key][1])


def _layers(proto: Any, precision: Precision) -> tuple[str, ...]:
    kinds = onnx_graph.LAYERS
    if precision in _STATIC:
        kinds = onnx_integer.STATIC
    elif precision is Precision.DYNAMIC_INT8:
        kinds = onnx_integer.DYNAMIC
    elif precision in _WEIGHT_ONLY:
        kinds = frozenset(onnx_weights_only.PLACES)
    return tuple(node.name for node in onnx_graph.layer_nodes(proto.graph) if node.op_type in kinds)


def _refuse_what_is_not_float32(proto: Any, precision: Precision) -> None:
    from onnx import TensorProto

    for node in proto.graph.node:
        if "Quantize" in node.op_type or "QLinear" in node.op_type or node.op_type.endswith("Integer"):
            raise ConversionError(
                f"{precision.value!r} starts from floats, and the model is quantized already: node"
                f" {node.name!r} is {node.op_type}; give the model that it was made of, or write float32@onnx"
            )
    for tensor in proto.graph.initializer:
        if (
            tensor.data_type in (TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
            and tensor.dims
        ):
            raise ConversionError(
                f"{precision.value!r} starts from float32, and the model's weight {tensor.name!r} is"
                f" {TensorProto.DataType.Name(tensor.data_type).lower()}: give the float32 model"
            )
