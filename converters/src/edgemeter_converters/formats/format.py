"""What a format is: how a model becomes an artifact, and how an artifact is looked at and run here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import Precision
from edgemeter_protos.v1 import variant_pb2


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """What a format is asked for.

    Attributes:
        precision: one of the format's `precisions`.
        input_shapes: of one sample of each input, every dimension known.
        calibration: inputs, batch first, in the model's own element types; empty where none are needed.
        work_dir: an empty folder for the converter's own files.
    """

    precision: Precision
    input_shapes: tuple[tuple[int, ...], ...]
    calibration: tuple[NDArray[Any], ...]
    work_dir: Path


class Artifact(Protocol):
    """A converted file, loaded. Every array is in real numbers: quantized tensors are scaled to and fro."""

    @property
    def signature(self) -> variant_pb2.Signature: ...

    @property
    def parameters(self) -> int:
        """Numbers stored as weights in the file itself."""
        ...

    @property
    def non_zero_parameters(self) -> int: ...

    def run(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """Outputs for `inputs` (batch first, any length), computed one sample at a time on one thread."""
        ...

    def run_reference(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """The same by another implementation of the arithmetic: what two honest runtimes may differ by."""
        ...


class Format(Protocol):
    """One way of writing a model down."""

    @property
    def name(self) -> str: ...

    @property
    def suffix(self) -> str:
        """Of an artifact's file, with its dot."""
        ...

    @property
    def precisions(self) -> frozenset[Precision]: ...

    @property
    def tools(self) -> tuple[tuple[str, ...], ...]:
        """Distributions whose versions shape the artifact; each under any of several names."""
        ...

    def runtimes(self, precision: Precision) -> tuple[variant_pb2.RuntimeRequirement, ...]:
        """Any one of which runs what `encode` makes."""
        ...

    def encode(self, model: LoadedModel, encoding: Encoding) -> bytes:
        """The artifact. For conversion workers only.

        Raises:
            ConversionError: the converter refuses the model; its reason in one line.
        """
        ...

    def open(self, content: bytes) -> Artifact:
        """For conversion workers only."""
        ...
