"""litert-torch, on torch modules and exported programs. For conversion workers only."""

from __future__ import annotations

import warnings
from typing import Any

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats import tflite_bias_shapes
from edgemeter_converters.formats.format import Encoding
from edgemeter_converters.formats.tflite_tensorflow import in_order_of_numbers
from edgemeter_converters.models import bridge, torch_module
from edgemeter_converters.models.model import LoadedModel


def convert(model: LoadedModel, encoding: Encoding) -> bytes:
    """The float32 flatbuffer. It keeps the model's own layout: an NCHW network takes NCHW.

    litert-torch writes 64-bit inputs and outputs as 32-bit ones, which is what boards' kernels take.

    Raises:
        ConversionError: torch can't follow the model or litert-torch refuses it; its reason in one line.
    """
    program = bridge.exported_program(model, encoding.input_shapes, encoding.work_dir)
    inputs = torch_module.example_inputs(model.signature, encoding.input_shapes)
    target = encoding.work_dir / "float32.tflite"
    try:
        _convert(program, inputs, str(target))
    except (MemoryError, ImportError):
        raise
    except Exception as error:
        # litert-torch raises whatever its lowerings or MLIR happen to raise.
        raise ConversionError(
            f"litert-torch can't convert the model: {torch_module.reason_of(error)}"
        ) from error
    return tflite_bias_shapes.flattened(in_order_of_numbers(target.read_bytes()))


def _convert(program: Any, inputs: tuple[Any, ...], path: str) -> None:
    import litert_torch

    with warnings.catch_warnings():
        # Deprecations within torch; that a graph module's mode can't be told.
        warnings.simplefilter("ignore")
        litert_torch.convert(program.module(), inputs).export(path)
