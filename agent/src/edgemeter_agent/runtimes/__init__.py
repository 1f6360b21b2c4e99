"""Runtimes: one file each, registered here. Importing this module imports no runtime and no numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from edgemeter_protos.v1 import variant_pb2

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.generic]
    RealArray = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How a model is to be loaded.

    Attributes:
        batch_size: samples that go through the model at once. A loader makes a model whose batch dimension is
            free, or can be resized, take that many, and raises ValueError for one that can't.
        accelerator: as in Plan.accelerator; empty for the runtime's usual one. A loader raises ValueError for
            one that it does not have here, and where the runtime would fall back to another without a word.
    """

    threads: int = 1
    batch_size: int = 1
    accelerator: str = ""


class LoadedModel(Protocol):
    """A model in a runtime, ready to be asked.

    A query is: copy the prepared input into the runtime's input buffer, invoke, copy the output out.
    Quantizing the input is `prepare`'s, outside the timing, since a camera or a sensor delivers integers just
    as well; dequantizing the output is `outputs`', outside as well.
    """

    signature: variant_pb2.Signature
    """As loaded: with the batch that was asked for."""

    @property
    def ran_on(self) -> str:
        """What computes: "CPU (XNNPACK)", "CPUExecutionProvider", "CUDAExecutionProvider", …"""

    def arena_bytes(self) -> int | None:
        """The runtime's own account of its tensors' memory; None where it gives none."""

    def prepare(self, inputs: Sequence[Array]) -> None:
        """Sets the sample that queries run: real values of any dtype, one array an input, batch first. Raises
        ValueError for a number of inputs or a shape that does not fit."""

    def query(self) -> None:
        """Runs the prepared sample once. The timed part: no checks, no conversions."""

    def outputs(self) -> list[RealArray]:
        """Of the last query: real values, float32, batch first."""


@dataclass(frozen=True, kw_only=True)
class RuntimeKind:
    """How a runtime is found and loaded, without importing it."""

    name: str
    """As in RuntimeRequirement.runtime."""
    package: str
    """The import package."""
    distribution: str
    module: str
    """Our module; it has `loader(package)`, which imports the package and returns (path, options) ->
    model, and `ARENA`: what its arena_bytes count, or why there are none."""
    formats: tuple[str, ...]
    numpy_below: int | None = None
    """Major version of numpy that it no longer works with."""
    other_distributions: tuple[str, ...] = ()
    """Builds of the same package under other names, for accelerators."""


# In order of preference.
RUNTIMES: tuple[RuntimeKind, ...] = (
    RuntimeKind(
        name="litert",
        package="ai_edge_litert",
        distribution="ai-edge-litert",
        module="edgemeter_agent.runtimes.tflite",
        formats=("tflite",),
    ),
    RuntimeKind(
        name="tflite-runtime",
        package="tflite_runtime",
        distribution="tflite-runtime",
        module="edgemeter_agent.runtimes.tflite",
        formats=("tflite",),
        # Built against numpy 1: with numpy 2 its import succeeds and loading a model dies with
        # "_ARRAY_API not found".
        numpy_below=2,
    ),
    RuntimeKind(
        name="onnxruntime",
        package="onnxruntime",
        distribution="onnxruntime",
        module="edgemeter_agent.runtimes.onnx",
        formats=("onnx",),
        other_distributions=("onnxruntime-gpu",),
    ),
    RuntimeKind(
        name="executorch",
        package="executorch",
        distribution="executorch",
        module="edgemeter_agent.runtimes.executorch",
        formats=("executorch",),
    ),
    RuntimeKind(
        name="torch",
        package="torch",
        distribution="torch",
        module="edgemeter_agent.runtimes.torch",
        formats=("torchscript", "pt2"),
    ),
)

FORMAT_OF_SUFFIX: dict[str, str] = {
    ".tflite": "tflite",
    ".onnx": "onnx",
    ".pte": "executorch",
    ".pt": "torchscript",
    ".pt2": "pt2",
}
"""Which format a file is in, where its name is all that tells: each format of `RUNTIMES` under its suffix."""

NULL = RuntimeKind(
    name="null", package="", distribution="", module="edgemeter_agent.runtimes.null", formats=()
)
"""The empty runtime: what it measures is the harness. Never offered to a job."""


def kind(name: str) -> RuntimeKind:
    """Raises ValueError for a name that is not registered."""
    for known in (*RUNTIMES, NULL):
        if known.name == name:
            return known
    raise ValueError(
        f"no runtime is called {name!r}; there are {', '.join(known.name for known in RUNTIMES)}"
    )


def loader(runtime: RuntimeKind) -> Callable[[str, LoadOptions], LoadedModel]:
    """Imports the runtime, and gives the function (artifact path, options) that loads a model into it.

    What the import takes is therefore no part of a model's load time. Raises ImportError.
    """
    module: Any = import_module(runtime.module)
    load: Callable[[str, LoadOptions], LoadedModel] = module.loader(runtime.package)
    return load


def arena_detail(runtime: RuntimeKind) -> str:
    """What `arena_bytes` of its models counts, or why it is None; imports our module, not the runtime."""
    detail: str = import_module(runtime.module).ARENA
    return detail
