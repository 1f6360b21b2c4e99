"""A loaded model, whatever framework it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgemeter_converters.models.frameworks import FRAMEWORKS
from edgemeter_protos.v1 import variant_pb2


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model in this process's memory. Shared between variants: never change `network` in place.

    Attributes:
        framework: one of `models.frameworks.FRAMEWORKS`.
        network: the framework's own object:
            keras: a built `keras.Model`; saved_model: a `pathlib.Path` to its unpacked folder;
            torch: a `torch.nn.Module` in evaluation mode; exported_program: a
            `torch.export.ExportedProgram`; torchscript: a `torch.jit.ScriptModule`;
            onnx: a `pathlib.Path` to the .onnx file, or `bytes`; tflite: `bytes`; llama: a `pathlib.Path` to
            a folder as `models.llama` keeps it.
        signature: batch first; -1 where a dimension is free.
        parameters: weights of every kind, trained or not.
        notes: what whoever reads of its variants should know of it, a sentence each.
    """

    framework: str
    network: object
    signature: variant_pb2.Signature
    parameters: int
    notes: tuple[str, ...] = ()

    @property
    def writes_text(self) -> bool:
        """Whether it is a language model."""
        return FRAMEWORKS[self.framework].writes_text

    @property
    def keras(self) -> Any:
        """`network` as a `keras.Model`."""
        return self._of("keras")

    @property
    def torch(self) -> Any:
        """`network` as a `torch.nn.Module`."""
        return self._of("torch")

    def _of(self, framework: str) -> Any:
        if self.framework != framework:
            raise TypeError(f"a {self.framework} model is no {framework} model")
        return self.network


@dataclass(frozen=True, kw_only=True)
class LayerCount:
    """How many layers of one kind a model has, and the parameters in them."""

    kind: str
    count: int
    parameters: int


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """What a model consists of.

    Attributes:
        macs: multiply-accumulates of one inference of one sample, in convolutions, dense and recurrent
            layers and matrix products; 0 where they can't be counted.
        layers: by kind, the most frequent first.
        non_zero_parameters: of `LoadedModel.parameters`.
    """

    macs: int
    layers: tuple[LayerCount, ...]
    non_zero_parameters: int
