"""Original models, one file a framework, loaded so that no code of the file's own runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import keras
from edgemeter_converters.models.model import LoadedModel
from edgemeter_protos.v1 import refusal_pb2

__all__ = ["LOADERS", "LoadedModel", "load", "predict"]

LOADERS = MappingProxyType({".keras": keras.load, ".h5": keras.load})
"""By the file name's suffix."""

_PREDICTORS = MappingProxyType({"keras": keras.predict})
"""By framework."""


def load(path: Path, file_name: str) -> LoadedModel:
    """The model in a file whose kind its name's suffix tells. For conversion workers only.

    Raises:
        ConversionError: NOT_A_MODEL, UNSAFE_MODEL or TOO_LARGE.
    """
    loader = LOADERS.get(Path(file_name).suffix.lower())
    if loader is None:
        raise ConversionError(
            f"{file_name}: models are read from {', '.join(LOADERS)} files",
            reason=refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
        )
    return loader(path, file_name)


def predict(model: LoadedModel, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    """The original's own outputs, float64, batch first: one array an output. For conversion workers only."""
    return _PREDICTORS[model.framework](model.network, inputs)
