"""TensorFlow's own converter, on Keras models and SavedModels. For conversion workers only.

The way is an export and `from_saved_model`; `from_keras_model` writes hundreds of lines.

int16x8 has int16 inputs and outputs. Float ones convert and run alike; these leave out the two conversion
ops, so the file is integer throughout, as int8's is, and what is timed is the network.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats.format import Encoding
from edgemeter_converters.models import saved_model, tflite_graph, tflite_names
from edgemeter_converters.models.keras import call_flat
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import Precision

PRECISIONS = frozenset(
    {Precision.FLOAT32, Precision.FLOAT16, Precision.DYNAMIC_INT8, Precision.INT8, Precision.INT16X8}
)

_INTEGER = {
    Precision.INT8: "TFLITE_BUILTINS_INT8",
    Precision.INT16X8: "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8",
}
"""The sets of ops that TensorFlow has integer kernels for."""


def convert(model: LoadedModel, encoding: Encoding, *, unroll: bool = False) -> bytes:
    """The flatbuffer of a keras or saved_model model; `encoding.options.keep` is not looked at.

    Args:
        unroll: whether recurrent layers are written out step by step, as they are for integers anyway.

    Raises:
        ConversionError: the converter refuses the model; its reason in one line.
    """
    integer = encoding.precision in _INTEGER
    exported = Path(tempfile.mkdtemp(dir=encoding.work_dir)) / "exported"
    try:
        _export(model, encoding, exported, unroll=unroll or integer)
        if unroll or integer:
            _refuse_loops(exported)
        content = _convert(exported, encoding)
    except (ConversionError, MemoryError, ImportError):
        raise
    except Exception as error:
        # Keras and the converter raise whatever a layer or MLIR happens to raise.
        raise ConversionError(f"TensorFlow can't convert the model: {reason(error)}") from error
    return in_order_of_numbers(content)


def has_loops(model: LoadedModel) -> bool:
    """Whether a keras model's recurrent layers make its file differ with `unroll`."""
    return model.framework == "keras" and bool(_recurrent(model.keras))


def in_order_of_numbers(content: bytes) -> bytes:
    """The file with `input_0`, `input_1`, … and `output_0`, … in that order."""
    inputs, outputs = tflite_graph.signature_names(content)
    return tflite_graph.ordered(content, sorted(inputs, key=_number), sorted(outputs, key=_number))


def reason(error: Exception) -> str:
    """The line of an error that says why: MLIR's first "error:", else the first line; and the layer. Pure."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = next((line for line in lines if "error:" in line), lines[0] if lines else type(error).__name__)
    # MLIR's location is the whole stack of calls, each with its scopes.
    scopes = re.findall(r'"([^"@]*/[^"@]*)@', line)
    layers = [layer for scope in scopes for layer in (*tflite_names.layers_of(scope), scope.split("/")[-2])]
    said = re.sub(r"^.*error: (loc\(.*\): )?", "", line)
    shown = f"layer {layers[0]!r}: {said}" if layers else line
    return shown if len(shown) <= 300 else shown[:299] + "…"


def _export(model: LoadedModel, encoding: Encoding, folder: Path, *, unroll: bool) -> None:
    if model.framework == "saved_model":
        saved_model.export(model, encoding.input_shapes, folder)
    else:
        _export_keras(model, encoding.input_shapes, folder, unroll=unroll)


def _export_keras(
    model: LoadedModel, input_shapes: tuple[tuple[int, ...], ...], folder: Path, *, unroll: bool
) -> None:
    import keras

    def serve(*inputs: Any) -> dict[str, Any]:
        return {f"output_{at}": output for at, output in enumerate(call_flat(model.keras, inputs))}

    specs = [
        keras.InputSpec(shape=(1, *shape), dtype=spec.dtype, name=f"input_{at}")
        for at, (shape, spec) in enumerate(zip(input_shapes, model.signature.inputs, strict=True))
    ]
    archive = keras.export.ExportArchive()
    archive.track(model.keras)
    # The network is traced in both: by the endpoint, and when it is written.
    with _unrolled(model.keras) if unroll else nullcontext():
        archive.add_endpoint("serve", serve, input_signature=specs)
        archive.write_out(folder, verbose=False)


def _recurrent(network: Any) -> list[Any]:
    import keras

    return [layer for layer in network._flatten_layers() if isinstance(layer, keras.layers.RNN)]


@contextmanager
def _unrolled(network: Any) -> Iterator[None]:
    """Recurrent layers written out step by step while this lasts: tools have no integer loops."""
    recurrent = _recurrent(network)
    before = [layer.unroll for layer in recurrent]
    for layer in recurrent:
        layer.unroll = True
    try:
        yield
    finally:
        for layer, unroll in zip(recurrent, before, strict=True):
            layer.unroll = unroll


def _refuse_loops(exported: Path) -> None:
    """Neither tool calibrates a loop: TensorFlow 2.21 dies of one (SIGSEGV), ai-edge-quantizer refuses it."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((exported / "saved_model.pb").read_bytes())
    for function in saved.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            if node.op in ("While", "StatelessWhile"):
                layer = next(iter(tflite_names.layers_of(node.name)), node.name)
                raise ConversionError(
                    f"layer {layer!r} loops over its time steps, and TFLite has no integer loops: build it "
                    "with unroll=True, or take a recipe with float activations (dynamic, weight-only-int8)"
                )


def _convert(exported: Path, encoding: Encoding) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(exported))
    precision, options = encoding.precision, encoding.options
    if precision is not Precision.FLOAT32:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision is Precision.FLOAT16:
        converter.target_spec.supported_types = [tf.float16]
    if options.per_tensor:
        converter._experimental_disable_per_channel = True
    if precision in _INTEGER:
        converter.representative_dataset = lambda: _representative(encoding.calibration)
        # These alone: an op without an integer kernel is an error, not a float op in an "int8" file. Its
        # negation is one all the same, between two conversions.
        converter.target_spec.supported_ops = [tf.lite.OpsSet[_INTEGER[precision]]]
        usual = tf.int8 if precision is Precision.INT8 else tf.int16
        element = tf.float32 if options.io == "float" else usual
        converter.inference_input_type = converter.inference_output_type = element
    return bytes(converter.convert())


def _representative(calibration: tuple[NDArray[Any], ...]) -> Iterator[dict[str, NDArray[Any]]]:
    for sample in range(len(calibration[0])):
        yield {f"input_{index}": array[sample : sample + 1] for index, array in enumerate(calibration)}


def _number(name: str) -> int:
    return int(name.rpartition("_")[2])
