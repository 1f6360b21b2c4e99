"""Runtimes: one file each, registered here. Importing this module imports no runtime and no numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
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
        generation: makes a `TextModel`, of a runtime that writes text.
    """

    threads: int = 1
    batch_size: int = 1
    accelerator: str = ""
    generation: variant_pb2.Generation | None = None


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


class TextModel(LoadedModel, Protocol):
    """A model that writes text, loaded for speed: its prompt is the options', and it takes no other input.

    A query is one generation from an empty context: the prompt, then `new_tokens` tokens, each the likeliest,
    one that ends a text like any other, so that counts are the same for all variants. Logits are computed for
    the last position alone. `outputs` are the tokens.
    """

    first_token_ns: int
    """Of the last query: from its start until its first token was known."""

    def decode(self) -> None:
        """Writes one token more. What was written is forgotten down to the prompt when it is as long as a
        generation's, so that contexts are as long as in a query. There must have been a query before."""


@dataclass(frozen=True)
class Package:
    """An import package, and the distributions that bring it: builds under other names, for
    accelerators."""

    name: str
    distributions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RuntimeKind:
    """How a runtime is found and loaded, without importing it."""

    name: str
    """As in RuntimeRequirement.runtime."""
    packages: tuple[Package, ...]
    """The first that is installed is used: one runtime may come under several names."""
    module: str
    """Our module; it has `loader(package)`, which imports the package and returns (path, options) ->
    model, and `ARENA`: what its arena_bytes count, or why there are none."""
    formats: tuple[str, ...]
    numpy_below: int | None = None
    """Major version of numpy that it no longer works with."""
    writes_text: bool = False
    """Takes `LoadOptions.generation`."""
    unpacks: bool = False
    """Its artifacts are .zips of folders (`runtimes.unpacking`)."""

    @property
    def installed(self) -> Package | None:
        return next((each for each in self.packages if find_spec(each.name) is not None), None)

    @property
    def package(self) -> str:
        """The import package: the installed one, or the first choice; "" for the empty runtime."""
        used = self.installed or next(iter(self.packages), None)
        return used.name if used else ""


# In order of preference.
RUNTIMES: tuple[RuntimeKind, ...] = (
    RuntimeKind(
        name="litert",
        packages=(Package("ai_edge_litert", ("ai-edge-litert",)),),
        module="edgemeter_agent.runtimes.tflite",
        formats=("tflite",),
    ),
    RuntimeKind(
        name="tflite-runtime",
        packages=(Package("tflite_runtime", ("tflite-runtime",)),),
        module="edgemeter_agent.runtimes.tflite",
        formats=("tflite",),
        # Built against numpy 1: with numpy 2 its import succeeds and loading a model dies with
        # "_ARRAY_API not found".
        numpy_below=2,
    ),
    RuntimeKind(
        name="onnxruntime",
        packages=(Package("onnxruntime", ("onnxruntime", "onnxruntime-gpu")),),
        module="edgemeter_agent.runtimes.onnx",
        formats=("onnx",),
    ),
    RuntimeKind(
        name="executorch",
        packages=(Package("executorch", ("executorch",)),),
        module="edgemeter_agent.runtimes.executorch",
        formats=("executorch",),
    ),
    RuntimeKind(
        name="torch",
        packages=(Package("torch", ("torch",)),),
        module="edgemeter_agent.runtimes.torch",
        formats=("torchscript", "pt2"),
    ),
    RuntimeKind(
        name="llama.cpp",
        # Who has built llama.cpp for the board wants that; the fork comes as a wheel.
        packages=(
            Package("llama_cpp", ("llama-cpp-python",)),
            Package("ik_llama_cpp", ("ik-llama-cpp-python",)),
        ),
        module="edgemeter_agent.runtimes.llama_cpp",
        formats=("gguf",),
        writes_text=True,
    ),
    RuntimeKind(
        name="onnxruntime-genai",
        packages=(Package("onnxruntime_genai", ("onnxruntime-genai", "onnxruntime-genai-cuda")),),
        module="edgemeter_agent.runtimes.onnx_genai",
        formats=("onnx-genai",),
        writes_text=True,
        unpacks=True,
    ),
)

FORMAT_OF_SUFFIX: dict[str, str] = {
    ".tflite": "tflite",
    ".onnx": "onnx",
    ".pte": "executorch",
    ".pt": "torchscript",
    ".pt2": "pt2",
    ".gguf": "gguf",
    ".zip": "onnx-genai",
}
"""Which format a file is in, where its name is all that tells: each format of `RUNTIMES` under its suffix."""

NULL = RuntimeKind(name="null", packages=(), module="edgemeter_agent.runtimes.null", formats=())
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
