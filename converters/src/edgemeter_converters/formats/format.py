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
class Options:
    """How to encode, beside the precision: an encoding step's arguments.

    Attributes:
        per_tensor: one scale for a whole weight tensor rather than one for each of its channels.
        io: "int8" or "float": what an integer network takes and gives; empty for the format's usual.
        calibration_method: "min-max", "moving-average", "percentile" or "entropy"; empty for the tool's
            usual.
        keep: layers to leave in float, each a name or a shell pattern (`fnmatch`) over the names that
            `Format.layers` gives.
        operators: of ONNX's static int8: "qdq" (Quantize/Dequantize pairs) or "qoperator" (QLinearConv, …).
        keeps_by_itself: whether `keep` will be found by trying: to be refused where `keep` would be.
    """

    per_tensor: bool = False
    io: str = ""
    calibration_method: str = ""
    keep: tuple[str, ...] = ()
    operators: str = "qdq"
    keeps_by_itself: bool = False


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """What a format is asked for.

    Attributes:
        precision: one of the format's `precisions`.
        options: such that `Format.refusal` has nothing against them.
        input_shapes: of one sample of each input, every dimension known.
        calibration: inputs, batch first, in the model's own element types; empty where none are needed.
        work_dir: an empty folder for the converter's own files.
    """

    precision: Precision
    options: Options = Options()
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

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever reads of the variant should know of its file, a sentence each."""
        ...

    def run(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """Outputs for `inputs` (batch first, any length), computed one sample at a time on one thread."""
        ...

    def run_reference(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """The same by another implementation of the arithmetic: what two honest runtimes may differ by."""
        ...

    def run_layers(self, inputs: Sequence[NDArray[Any]]) -> dict[str, tuple[str, NDArray[Any]]]:
        """Kind and outputs (real values, float32, batch first) of each layer, in order, by a name that the
        same layer has in this format's float32 artifact of the same model; empty where the format's runtime
        shows no intermediate values."""
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
    def frameworks(self) -> frozenset[str]:
        """Whose models it writes down."""
        ...

    def tools(self, framework: str, precision: Precision) -> tuple[tuple[str, ...], ...]:
        """Distributions whose versions shape the artifact; each under any of several names. Pure."""
        ...

    def refusal(self, framework: str, precision: Precision, options: Options) -> str:
        """Why a model of that framework can't be encoded so, one sentence; empty where it can. Pure."""
        ...

    def runtimes(
        self, framework: str, precision: Precision, options: Options
    ) -> tuple[variant_pb2.RuntimeRequirement, ...]:
        """Any one of which runs what `encode` makes. Pure."""
        ...

    def layers(self, model: LoadedModel, encoding: Encoding) -> tuple[str, ...]:
        """Names of what `Options.keep` may leave in float, in the network's order; empty where nothing
        can be. For conversion workers only."""
        ...

    def encode(self, model: LoadedModel, encoding: Encoding) -> bytes:
        """The artifact: the same bytes for the same model and encoding. For conversion workers only.

        Raises:
            ConversionError: the converter refuses the model; its reason in one line.
        """
        ...

    def open(self, content: bytes) -> Artifact:
        """For conversion workers only."""
        ...
