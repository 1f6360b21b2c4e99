"""TensorFlow Lite flatbuffers: which tool makes which, and where they run.

A file takes a batch of exactly one. That is what a single-stream query is, so no runtime has to resize
anything, and free dimensions take the data's size. Its inputs and outputs stand in the order of the original
model's signature.

TensorFlow's converter writes Keras models and SavedModels; litert-torch writes torch's as float32.
ai-edge-quantizer reduces a float32 file where the former has no way: from torch, from a .tflite, weights
only, four bits, layers kept in float, moving averages.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats import tflite_quantizer, tflite_tensorflow, tflite_torch
from edgemeter_converters.formats.format import Encoding, Options
from edgemeter_converters.formats.tflite_artifact import TFLiteArtifact
from edgemeter_converters.models import tflite as tflite_model
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import OF_LANGUAGE_MODELS, Precision
from edgemeter_protos.v1 import variant_pb2

_TENSORFLOW = frozenset({"keras", "saved_model"})
_TORCH = frozenset({"torch", "exported_program"})

_LITERT = variant_pb2.RuntimeRequirement(runtime="litert", min_version="1.4.0")
"""1.4.0, 2.0.3 and 2.3.0 run all that TensorFlow's converter makes; older ones were not tried."""

_NEW_LITERT = variant_pb2.RuntimeRequirement(runtime="litert", min_version="2.3.0")
"""The version that was tried, on what ai-edge-quantizer and litert-torch of the same year make."""

_TFLITE_RUNTIME = variant_pb2.RuntimeRequirement(runtime="tflite-runtime", min_version="2.14.0")
"""The last release there is."""

_ONLY_ON_LITERT = frozenset({Precision.DYNAMIC_INT8, Precision.W4A8, Precision.WEIGHT_ONLY_INT4})
"""tflite-runtime 2.14 refuses TensorFlow's dynamic-range files (FULLY_CONNECTED version 12), runs those of
ai-edge-quantizer wrong without a word (accuracy 0.94 became 0.11), and is older than four-bit weights."""

_IO = frozenset({Precision.INT8, Precision.INT16X8})


@dataclass(frozen=True, kw_only=True)
class _LastFloat32:
    model: weakref.ref[LoadedModel]
    facts: tuple[object, ...]
    content: bytes


class TFLite:
    name = "tflite"
    suffix = ".tflite"
    precisions = frozenset(Precision) - OF_LANGUAGE_MODELS
    frameworks = _TENSORFLOW | _TORCH | {"tflite"}

    def __init__(self) -> None:
        self._float32: _LastFloat32 | None = None

    def tools(self, framework: str, precision: Precision) -> tuple[tuple[str, ...], ...]:
        used: list[tuple[str, ...]] = [("ai-edge-litert",)]
        if framework in _TENSORFLOW:
            used += [("tensorflow", "tensorflow-cpu"), ("keras",)]
        if framework in _TORCH:
            used += [("torch",), ("litert-torch",)]
        if precision is not Precision.FLOAT32:
            used.append(("ai-edge-quantizer",))
        return tuple(used)

    def refusal(self, framework: str, precision: Precision, options: Options) -> str:
        if framework == "torchscript":
            return "litert-torch takes no TorchScript: save the module with torch.export.save, as .pt2"
        if framework not in self.frameworks:
            return f"there is no way from {framework} to TFLite"
        method = options.calibration_method
        if method not in ("", "min-max", "moving-average"):
            return f"TFLite's tools calibrate by min-max or moving-average, not by {method}"
        if options.io == "int8" and precision is Precision.INT16X8:
            return "int16x8 takes and gives int16, or float with io=float"
        if options.io and precision not in _IO:
            return f"{precision.value} takes and gives float: io is for int8 and int16x8"
        return ""

    def runtimes(
        self, framework: str, precision: Precision, options: Options
    ) -> tuple[variant_pb2.RuntimeRequirement, ...]:
        if framework in _TORCH:
            return (_NEW_LITERT,)
        if precision in _ONLY_ON_LITERT:
            return (_LITERT if _tensorflow_alone(framework, precision, options) else _NEW_LITERT,)
        return _LITERT, _TFLITE_RUNTIME

    def layers(self, model: LoadedModel, encoding: Encoding) -> tuple[str, ...]:
        if encoding.precision in (Precision.FLOAT32, Precision.FLOAT16):
            return ()
        return tflite_quantizer.layers(self._as_float32(model, encoding))

    def encode(self, model: LoadedModel, encoding: Encoding) -> bytes:
        """The flatbuffer. The same digest for the same inputs: the tools are deterministic.

        A .tflite that is quantized already is given back as it is, and only where asked for as what it is.

        Raises:
            ConversionError: a tool refuses the model; its reason in one line.
        """
        from edgemeter_converters.models import tflite_packing

        precision = encoding.precision
        if model.framework == "tflite":
            content = tflite_model.content_of(model)
            found = tflite_model.precision_of(content)
            if found is precision:
                return content
            if found is not Precision.FLOAT32:
                raise ConversionError(
                    f"the file is {found.value} already, and only float32 ones are compressed: "
                    f"{found.value}@tflite measures it as it is"
                )
        if precision is Precision.FLOAT32:
            content = self._as_float32(model, encoding)
        elif _tensorflow_alone(model.framework, precision, encoding.options):
            content = tflite_tensorflow.convert(model, encoding)
        else:
            content = tflite_quantizer.quantize(self._as_float32(model, encoding), encoding)
        return tflite_packing.repacked(content)

    def open(self, content: bytes) -> TFLiteArtifact:
        return TFLiteArtifact(content)

    def _as_float32(self, model: LoadedModel, encoding: Encoding) -> bytes:
        """The last one is kept: a search for layers to keep in float quantizes one file many times."""
        from edgemeter_converters.models import tflite_packing

        # Integers know no loops; the file that they are made from has none either.
        unroll = encoding.precision in tflite_quantizer.STATIC and tflite_tensorflow.has_loops(model)
        facts = (encoding.input_shapes, unroll)
        last = self._float32
        if last is not None and last.model() is model and last.facts == facts:
            return last.content
        plain = Encoding(
            precision=Precision.FLOAT32,
            input_shapes=encoding.input_shapes,
            calibration=(),
            work_dir=encoding.work_dir,
        )
        if model.framework in _TENSORFLOW:
            content = tflite_tensorflow.convert(model, plain, unroll=unroll)
        elif model.framework in _TORCH:
            content = tflite_torch.convert(model, plain)
        else:
            content = tflite_packing.with_signature(tflite_model.content_of(model))
        self._float32 = _LastFloat32(model=weakref.ref(model), facts=facts, content=content)
        return content


def _tensorflow_alone(framework: str, precision: Precision, options: Options) -> bool:
    """Whether TensorFlow's converter has all that is asked for. It calibrates by min-max."""
    return (
        framework in _TENSORFLOW
        and precision in tflite_tensorflow.PRECISIONS
        and not options.keep
        and options.calibration_method in ("", "min-max")
    )
