"""Original models, one file a framework, loaded so that no code of the file's own runs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models.frameworks import FRAMEWORKS, Framework
from edgemeter_converters.models.model import Anatomy, LayerCount, LoadedModel
from edgemeter_protos.v1 import refusal_pb2, variant_pb2

__all__ = [
    "FRAMEWORKS",
    "SUFFIXES",
    "Anatomy",
    "Framework",
    "LayerCount",
    "LoadedModel",
    "anatomy",
    "batched",
    "load",
    "predict",
    "tokenizer",
    "vocabulary_digest",
]

_LOADERS = MappingProxyType(
    {
        ".keras": "keras",
        ".h5": "keras",
        ".zip": "zipped",
        ".pt2": "exported_program",
        ".pt": "torchscript",
        ".ts": "torchscript",
        ".torchmodule": "torch_function",
        ".onnx": "onnx",
        ".tflite": "tflite",
        ".gguf": "llama",
    }
)
"""Module that loads it, by the file name's suffix."""

SUFFIXES = tuple(_LOADERS)

_BATCH_SAMPLES = 256
"""At a time: a convolution's values for a whole evaluation split would not fit into memory."""

_HOMES = MappingProxyType(
    {
        "keras": ("keras", "keras_anatomy"),
        "saved_model": ("saved_model", "saved_model"),
        "torch": ("torch_module", "torch_anatomy"),
        "exported_program": ("exported_program", "torch_anatomy"),
        "torchscript": ("torchscript", "torch_anatomy"),
        "onnx": ("onnx", "onnx_anatomy"),
        "tflite": ("tflite", "tflite_anatomy"),
        "llama": ("llama", "llama"),
    }
)
"""Modules that predict with a framework's models and take them apart."""


def load(
    path: Path,
    file_name: str,
    *,
    inputs: Sequence[variant_pb2.TensorSpec] = (),
    allowed: Sequence[str] = (),
) -> LoadedModel:
    """The model in a file whose kind its name's suffix tells. For conversion workers only.

    Args:
        path: where it is, under any name.
        file_name: what its user calls it.
        inputs: of one sample, for a file that doesn't tell.
        allowed: packages whose code may run, for a model that a function makes.

    Raises:
        ConversionError: NOT_A_MODEL, UNSAFE_MODEL or TOO_LARGE.
    """
    home = _LOADERS.get(Path(file_name).suffix.lower())
    if home is None:
        raise ConversionError(
            f"{file_name}: models are read from {', '.join(_LOADERS)} files",
            reason=refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
        )
    module = _home(home)
    loaded: LoadedModel
    if home == "torchscript":
        loaded = module.load(path, file_name, batched(inputs))
    elif home == "torch_function":
        loaded = module.load(path, file_name, tuple(allowed))
    elif home == "zipped":
        loaded = _home(module.framework_of(path)).load(path, file_name)
    else:
        loaded = module.load(path, file_name)
    return loaded


def batched(inputs: Sequence[variant_pb2.TensorSpec]) -> tuple[variant_pb2.TensorSpec, ...]:
    """Specifications of one sample as those of a batch of any size, named where they are not. Pure."""
    return tuple(
        variant_pb2.TensorSpec(name=spec.name or f"input_{at}", dtype=spec.dtype, shape=[-1, *spec.shape])
        for at, spec in enumerate(inputs)
    )


def predict(model: LoadedModel, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    """The model's own outputs, float64, batch first: one array an output. For conversion workers only."""
    home = _home(_HOMES[model.framework][0])
    parts = [
        home.predict(model.network, [array[start : start + _BATCH_SAMPLES] for array in inputs])
        for start in range(0, max(len(inputs[0]), 1), _BATCH_SAMPLES)
    ]
    return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))


def anatomy(model: LoadedModel) -> Anatomy:
    """What the model consists of. For conversion workers only."""
    found: Anatomy = _home(_HOMES[model.framework][1]).anatomy(model.network, model.signature)
    return found


def tokenizer(model: LoadedModel) -> Path | None:
    """The tokenizer.json of a language model; None for another. It lives as long as the model."""
    if not model.writes_text:
        return None
    home = _home(_HOMES[model.framework][0])
    path: Path = home.folder_of(model) / home.TOKENIZER
    return path


def vocabulary_digest(model: LoadedModel) -> str:
    """Of what token ids stand for to a language model; empty for another. For conversion workers only."""
    path = tokenizer(model)
    return "" if path is None else str(_home("gguf_tokenizer").vocabulary_digest(path))


def _home(name: str) -> Any:
    return import_module(f"edgemeter_converters.models.{name}")
