"""TensorFlow Lite files as originals: float ones to be quantized, others to be measured as they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import tflite_graph, tflite_weights
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.models.tflite_graph import Graph
from edgemeter_converters.steps import Precision
from edgemeter_protos.v1 import refusal_pb2, variant_pb2

MAX_BYTES = (2 << 30) - 1
"""A flatbuffer's offsets are signed 32-bit numbers."""

_IDENTIFIER = b"TFL3"
"""At byte 4 of every such file (schema.fbs: file_identifier)."""


def load(path: Path, file_name: str) -> LoadedModel:
    """The model in a .tflite file, loaded by LiteRT with its built-in ops only.

    Its signature speaks of real numbers: an input that the file stores as int8 with a scale is a float32 one.

    Raises:
        ConversionError: NOT_A_MODEL, UNSAFE_MODEL for an op that isn't built in, or TOO_LARGE.
    """
    content = _content(path, file_name)
    try:
        graphs = tflite_graph.read(content)
    except (MemoryError, ImportError):
        raise
    except Exception:
        # A flatbuffer's offsets lead anywhere: whatever numpy and struct happen to raise.
        _refuse(file_name, "it is no whole TensorFlow Lite file")
    _check_ops(graphs, file_name)
    return LoadedModel(
        framework="tflite",
        network=content,
        signature=_signature(content, file_name),
        parameters=tflite_weights.count(graphs)[0],
    )


def content_of(model: LoadedModel) -> bytes:
    """The file of a model that `load` gave."""
    if not isinstance(model.network, bytes):
        raise TypeError(f"a {model.framework} model is no tflite model")
    return model.network


def predict(network: bytes, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    """The file's own outputs on LiteRT's plain kernels, real numbers, float64, batch first."""
    # Formats build upon models, so not above; an original is an artifact that nobody made here.
    from edgemeter_converters.formats.tflite_artifact import TFLiteArtifact

    return tuple(each.astype(np.float64) for each in TFLiteArtifact(network).run_reference(inputs))


def precision_of(content: bytes) -> Precision:
    """What a file is encoded with, told by its tensors."""
    graphs = tflite_graph.read(content)
    given = {
        graph.tensors[place].dtype
        for graph in graphs
        for op in graph.ops
        for place in op.outputs
        if op.kind != "QUANTIZE" and len(graph.tensors[place].scales)
    }
    if "int16" in given:
        return Precision.INT16X8
    if given:
        return Precision.INT8
    weights = {
        tensor.dtype for graph in graphs for tensor in graph.tensors if tflite_weights.is_weight(tensor)
    }
    restored = any(_is_restored(graph) for graph in graphs)
    if weights & {"int4", "int2"}:
        return Precision.WEIGHT_ONLY_INT4 if restored else Precision.W4A8
    if weights & {"int8", "uint8"}:
        return Precision.WEIGHT_ONLY_INT8 if restored else Precision.DYNAMIC_INT8
    return Precision.FLOAT16 if "float16" in weights else Precision.FLOAT32


def _is_restored(graph: Graph) -> bool:
    """Whether quantized weights are made float again before their use."""
    return any(op.kind == "DEQUANTIZE" and len(graph.tensors[op.inputs[0]].scales) for op in graph.ops)


def _content(path: Path, file_name: str) -> bytes:
    try:
        size_bytes = path.stat().st_size
        if size_bytes > MAX_BYTES:
            raise ConversionError(
                f"{file_name}: it has {size_bytes:,} bytes, a .tflite file holds {MAX_BYTES:,} at most",
                reason=refusal_pb2.REFUSAL_REASON_TOO_LARGE,
            )
        content = path.read_bytes()
    except FileNotFoundError:
        _refuse(file_name, "there is no such file")
    if content[4:8] != _IDENTIFIER:
        _refuse(file_name, "it is no TensorFlow Lite file")
    return content


def _check_ops(graphs: Sequence[Graph], file_name: str) -> None:
    for graph in graphs:
        for op in graph.ops:
            if op.custom:
                what = "TensorFlow's own op" if op.kind.startswith("Flex") else "the custom op"
                raise ConversionError(
                    f"{file_name}: layer {op.layer!r} is {what} {op.kind}, whose code is not part of "
                    "TensorFlow Lite: convert the model with built-in ops only",
                    reason=refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL,
                )


def _signature(content: bytes, file_name: str) -> variant_pb2.Signature:
    # Formats build upon models, so not above.
    from edgemeter_converters.formats.tflite_artifact import TFLiteArtifact

    try:
        stored = TFLiteArtifact(content).signature
    except (ValueError, RuntimeError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        _refuse(file_name, f"LiteRT can't load it: {lines[0]}")
    for spec in (*stored.inputs, *stored.outputs):
        if not spec.shape or spec.shape[0] != 1:
            _refuse(
                file_name,
                f"its tensor {spec.name!r} has shape {list(spec.shape)}: convert it again for a batch of 1",
            )
    return variant_pb2.Signature(
        inputs=[_real(spec) for spec in stored.inputs], outputs=[_real(spec) for spec in stored.outputs]
    )


def _real(spec: variant_pb2.TensorSpec) -> variant_pb2.TensorSpec:
    dtype = "float32" if spec.HasField("quantization") else spec.dtype
    return variant_pb2.TensorSpec(name=spec.name, dtype=dtype, shape=spec.shape)


def _refuse(file_name: str, what: str) -> NoReturn:
    raise ConversionError(f"{file_name}: {what}", reason=refusal_pb2.REFUSAL_REASON_NOT_A_MODEL)
