"""TensorFlow Lite flatbuffers, made by TensorFlow's converter and run here by LiteRT.

A file takes a batch of exactly one. That is what a single-stream query is, so no runtime has to resize
anything, and free dimensions take the data's size. Its inputs and outputs stand in the order of the original
model's signature. The way is an export and `from_saved_model`; `from_keras_model` writes hundreds of lines.

int16x8 has int16 inputs and outputs. Float ones convert and run alike; these leave out the two conversion
ops, so the file is integer throughout, as int8's is, and what is timed is the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats.format import Encoding
from edgemeter_converters.formats.quantization import restore, store
from edgemeter_converters.models.keras import call_flat
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import Precision
from edgemeter_protos.v1 import variant_pb2

_LITERT = variant_pb2.RuntimeRequirement(runtime="litert", min_version="1.4.0")
"""1.4.0, 2.0.3 and 2.3.0 run all five precisions; older ones were not tried."""

_TFLITE_RUNTIME = variant_pb2.RuntimeRequirement(runtime="tflite-runtime", min_version="2.14.0")
"""The last release there is."""

_NOT_ON_TFLITE_RUNTIME = frozenset({Precision.DYNAMIC_INT8})
"""TensorFlow 2.21 writes FULLY_CONNECTED version 12 into these; tflite-runtime 2.14 refuses to load it."""


class TFLite:
    name = "tflite"
    suffix = ".tflite"
    precisions = frozenset(Precision)
    tools = (("tensorflow", "tensorflow-cpu"), ("keras",), ("ai-edge-litert",))

    def runtimes(self, precision: Precision) -> tuple[variant_pb2.RuntimeRequirement, ...]:
        return (_LITERT,) if precision in _NOT_ON_TFLITE_RUNTIME else (_LITERT, _TFLITE_RUNTIME)

    def encode(self, model: LoadedModel, encoding: Encoding) -> bytes:
        """The flatbuffer. The same digest for the same inputs: TensorFlow's converter is deterministic here.

        Raises:
            ConversionError: the converter refuses the model; its reason in one line.
        """
        saved_model = encoding.work_dir / "saved_model"
        try:
            _export(model, encoding.input_shapes, saved_model)
            return _convert(saved_model, encoding)
        except (MemoryError, ImportError):
            raise
        except Exception as error:
            # Keras and the converter raise whatever a layer or MLIR happens to raise.
            raise ConversionError(f"TensorFlow can't convert the model: {_reason(error)}") from error

    def open(self, content: bytes) -> TFLiteArtifact:
        return TFLiteArtifact(content)


class TFLiteArtifact:
    """A .tflite in LiteRT's interpreter, on one thread."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import OpResolverType

        self._content = content
        self._default = _interpreter(content, OpResolverType.AUTO)
        self.signature = variant_pb2.Signature(
            inputs=[_spec(details) for details in self._default.get_input_details()],
            outputs=[_spec(details) for details in self._default.get_output_details()],
        )
        self.parameters, self.non_zero_parameters = _count_parameters(content)

    def run(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """On XNNPACK's kernels, LiteRT's usual ones."""
        return self._run(self._default, inputs)

    def run_reference(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """On TensorFlow Lite's plain kernels."""
        from ai_edge_litert.interpreter import OpResolverType

        plain = _interpreter(self._content, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
        return self._run(plain, inputs)

    def _run(self, interpreter: Any, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        places = [details["index"] for details in interpreter.get_input_details()]
        results = [details["index"] for details in interpreter.get_output_details()]
        samples = len(inputs[0])
        outputs = [
            np.empty((samples, *spec.shape[1:]), dtype=np.dtype(spec.dtype))
            for spec in self.signature.outputs
        ]
        for sample in range(samples):
            for place, spec, array in zip(places, self.signature.inputs, inputs, strict=True):
                interpreter.set_tensor(place, store(array[sample : sample + 1], spec))
            interpreter.invoke()
            for result, output in zip(results, outputs, strict=True):
                output[sample] = interpreter.get_tensor(result)[0]
        return tuple(
            restore(output, spec) for output, spec in zip(outputs, self.signature.outputs, strict=True)
        )


def _export(model: LoadedModel, input_shapes: tuple[tuple[int, ...], ...], saved_model: Path) -> None:
    import keras

    def serve(*inputs: Any) -> dict[str, Any]:
        return {f"output_{at}": output for at, output in enumerate(call_flat(model.keras, inputs))}

    specs = [
        keras.InputSpec(shape=(1, *shape), dtype=spec.dtype, name=f"input_{at}")
        for at, (shape, spec) in enumerate(zip(input_shapes, model.signature.inputs, strict=True))
    ]
    archive = keras.export.ExportArchive()
    archive.track(model.keras)
    archive.add_endpoint("serve", serve, input_signature=specs)
    archive.write_out(saved_model, verbose=False)


def _convert(saved_model: Path, encoding: Encoding) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    if encoding.precision is not Precision.FLOAT32:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if encoding.precision is Precision.FLOAT16:
        converter.target_spec.supported_types = [tf.float16]
    if encoding.precision in (Precision.INT8, Precision.INT16X8):
        converter.representative_dataset = lambda: _representative(encoding.calibration)
        # These alone: an op without an integer kernel is an error, not a float op in an "int8" file.
        ops, element = (
            (tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.int8)
            if encoding.precision is Precision.INT8
            else (tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8, tf.int16)
        )
        converter.target_spec.supported_ops = [ops]
        converter.inference_input_type = converter.inference_output_type = element
    return _in_order(converter.convert())


def _representative(calibration: tuple[NDArray[Any], ...]) -> Iterator[dict[str, NDArray[Any]]]:
    for sample in range(len(calibration[0])):
        yield {f"input_{index}": array[sample : sample + 1] for index, array in enumerate(calibration)}


def _in_order(content: bytes) -> bytes:
    """The file with inputs and outputs in the order of their names' numbers: the converter scrambles them."""
    from ai_edge_litert import schema_py_generated as schema

    ordered = bytearray(content)
    model = schema.Model.GetRootAsModel(ordered, 0)
    graph, names = model.Subgraphs(0), model.SignatureDefs(0)
    # Views of `ordered`: assigning to them changes the file where it stands.
    graph.InputsAsNumpy()[:] = _by_number([names.Inputs(at) for at in range(names.InputsLength())])
    graph.OutputsAsNumpy()[:] = _by_number([names.Outputs(at) for at in range(names.OutputsLength())])
    return bytes(ordered)


def _by_number(tensors: Sequence[Any]) -> list[int]:
    numbered = sorted((int(each.Name().decode().rpartition("_")[2]), each.TensorIndex()) for each in tensors)
    return [index for _, index in numbered]


def _interpreter(content: bytes, kernels: Any) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    return interpreter


def _spec(details: dict[str, Any]) -> variant_pb2.TensorSpec:
    scale, zero_point = details["quantization"]
    # Without a scale the numbers stand for themselves.
    quantization = variant_pb2.AffineQuantization(scale=scale, zero_point=zero_point) if scale else None
    return variant_pb2.TensorSpec(
        name=details["name"],
        dtype=np.dtype(details["dtype"]).name,
        shape=[int(size) for size in details["shape"]],
        quantization=quantization,
    )


def _count_parameters(content: bytes) -> tuple[int, int]:
    """Numbers, and numbers other than zero, in the file's constant tensors that are float or quantized.

    Integers without a scale (shapes, axes, paddings) are not weights. What the converter folds away, such as
    batch normalization, is not counted, since it is not there.
    """
    from ai_edge_litert import schema_py_generated as schema

    dtypes = {
        schema.TensorType.FLOAT32: np.float32,
        schema.TensorType.FLOAT16: np.float16,
        schema.TensorType.INT8: np.int8,
        schema.TensorType.INT16: np.int16,
        schema.TensorType.INT32: np.int32,
        schema.TensorType.INT64: np.int64,
    }
    floats = (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16)
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    counted: dict[int, tuple[int, int]] = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            quantized = tensor.quantization is not None and tensor.quantization.scale is not None
            if data is None or len(data) == 0 or not (tensor.type in floats or quantized):
                continue
            values = np.frombuffer(bytes(data), dtype=dtypes[tensor.type])
            # Tensors may share a buffer; it is stored, and so counted, once.
            counted[tensor.buffer] = (values.size, int(np.count_nonzero(values)))
    return sum(size for size, _ in counted.values()), sum(non_zero for _, non_zero in counted.values())


def _reason(error: Exception) -> str:
    """The line of an error that says why: MLIR's first "error:", else the first line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = next((line for line in lines if "error:" in line), lines[0] if lines else type(error).__name__)
    return line if len(line) <= 300 else line[:299] + "…"
