"""Any model that torch can follow as a torch program of one sample.

Formats that start from torch (ONNX, ExecuTorch, TorchScript, .pt2) take models of every framework here.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import warnings
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import exported_program as programs
from edgemeter_converters.models import torch_module
from edgemeter_converters.models.model import LoadedModel

FRAMEWORKS = frozenset({"keras", "torch", "exported_program"})
"""Whose models `exported_program` takes."""

KERAS_SECONDS = 1800.0
"""After which an export of a Keras model is given up: a thousand times what a small one takes."""


def exported_program(model: LoadedModel, input_shapes: tuple[tuple[int, ...], ...], work_dir: Path) -> Any:
    """The model as a `torch.export.ExportedProgram`: batch exactly 1, every other dimension fixed too.

    It takes its inputs one by one in the order of the signature, and gives one tensor or a tuple of them in
    the order of the signature's outputs. Its example inputs are its own, compact, and zeros. `model` is left
    as it is; the program may share its weights.

    Args:
        input_shapes: of one sample of each input.
        work_dir: for files in between.

    Raises:
        ConversionError: torch can't follow the model, with its reason in one line.
    """
    if model.framework == "keras":
        return _of_keras(model, input_shapes, work_dir)
    if model.framework == "torch":
        return export(model.network, torch_module.example_inputs(model.signature, input_shapes))
    if model.framework == "exported_program":
        return _of_program(model, input_shapes)
    if model.framework == "torchscript":
        raise ConversionError(
            "a TorchScript has no way to torch.export any more: it can only be written as TorchScript again;"
            " save the module with torch.export.save to have the other formats"
        )
    raise ConversionError(f"a model of framework {model.framework} has no way to torch")


def export(module: Any, inputs: tuple[Any, ...]) -> Any:
    """`torch.export.export` of a module in inference, outputs flattened to one tensor or a tuple.

    Raises:
        ConversionError: torch can't follow it.
    """
    import torch

    module = module.eval()
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # Deprecations inside of torch, and what it thinks of the module's attributes.
            warnings.simplefilter("ignore")
            if not torch_module.is_flat(module(*inputs)):
                module = torch_module.flattened(module)
            return torch.export.export(module, inputs)
    except (MemoryError, ImportError):
        raise
    except Exception as error:
        # torch.export raises whatever a module's code or its tracer happens to raise.
        raise ConversionError(
            f"torch.export can't follow the model: {torch_module.reason_of(error)}"
        ) from error


def _of_program(model: LoadedModel, input_shapes: tuple[tuple[int, ...], ...]) -> Any:
    for spec in model.signature.inputs:
        if spec.shape and spec.shape[0] > 1:
            raise ConversionError(
                f"the program was exported for batches of {spec.shape[0]}: export it for a batch of 1, or of"
                " any size by dynamic_shapes"
            )
    inputs = torch_module.example_inputs(model.signature, input_shapes)
    return export(programs.callable_module(model.network), inputs)


@dataclass(frozen=True)
class _LastKeras:
    model: weakref.ref[LoadedModel]
    input_shapes: tuple[tuple[int, ...], ...]
    content: bytes


_last_keras: list[_LastKeras] = []
"""At most one: a model's variants come one after another, and a search for layers to keep has dozens."""


def _of_keras(model: LoadedModel, input_shapes: tuple[tuple[int, ...], ...], work_dir: Path) -> Any:
    import torch

    for last in _last_keras:
        if last.model() is model and last.input_shapes == input_shapes:
            return torch.export.load(io.BytesIO(last.content))
    content = _exported_keras(model, input_shapes, work_dir)
    _last_keras[:] = [_LastKeras(weakref.ref(model), input_shapes, content)]
    return torch.export.load(io.BytesIO(content))


def _exported_keras(model: LoadedModel, input_shapes: tuple[tuple[int, ...], ...], work_dir: Path) -> bytes:
    source, target = work_dir / "bridge.keras", work_dir / "bridge.pt2"
    try:
        model.keras.save(source)
        done = subprocess.run(
            [
                sys.executable,
                # Nothing that happens to lie in the working folder stands in for a library.
                "-P",
                "-m",
                "edgemeter_converters.models.keras_on_torch",
                str(source),
                str(target),
                json.dumps(input_shapes),
            ],
            env=os.environ | {"KERAS_BACKEND": "torch"},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=KERAS_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConversionError(
            f"torch.export took more than {KERAS_SECONDS:.0f} s over the Keras model"
        ) from error
    sys.stderr.write(done.stderr)
    if done.returncode < 0:
        raise ConversionError(
            f"the process that exports Keras models to torch was killed by signal {-done.returncode}:"
            " out of memory, most likely"
        )
    if done.returncode > 0:
        raise ConversionError(f"torch.export can't follow the Keras model: {last_line(done.stderr)}")
    return target.read_bytes()


def last_line(text: str) -> str:
    """The last line that says something, cut to what fits a message. Pure."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else "it gave no reason"
    return last if len(last) <= 300 else last[:299] + "…"
