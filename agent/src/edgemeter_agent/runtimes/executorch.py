"""ExecuTorch's Python runtime, which takes and gives torch's tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemeter_agent.runtimes.torch_tensors import prepared, real
from edgemeter_protos.v1 import variant_pb2

if TYPE_CHECKING:
    from edgemeter_agent.runtimes import Array, LoadedModel, RealArray

METHOD = "forward"

DTYPES = {
    0: "uint8",
    1: "int8",
    2: "int16",
    3: "int32",
    4: "int64",
    5: "float16",
    6: "float32",
    7: "float64",
    11: "bool",
}
"""numpy's names for ExecuTorch's numbers of element types (`executorch.exir.scalar_type.ScalarType`)."""


def loader(package: str) -> Callable[[str, int], LoadedModel]:
    """Raises ImportError, also where torch is missing: the runtime's tensors are torch's."""
    torch: Any = import_module("torch")
    runtime: Any = import_module(f"{package}.runtime").Runtime.get()
    library: Any = import_module(f"{package}.extension.pybindings.portable_lib")

    def load(artifact_path: str, threads: int) -> LoadedModel:
        if library._threadpool_get_thread_count() != threads:
            # Unsafe while something runs in the pool; nothing has been loaded yet.
            library._unsafe_reset_threadpool(threads)
        program = runtime.load_program(Path(artifact_path))
        if METHOD not in program.method_names:
            raise ValueError(f"the program has no method {METHOD!r}")
        # The program must outlive its method: it holds the memory.
        return ExecuTorchModel(torch, program, program.load_method(METHOD))

    return load


class ExecuTorchModel:
    """A method of a program. A query is its execution on the prepared tensors; its outputs are copied out by
    the runtime, as for any application."""

    def __init__(self, torch: Any, program: Any, method: Any) -> None:
        self._torch = torch
        self._program = program
        self._method = method
        meta = method.metadata
        self.signature = variant_pb2.Signature(
            inputs=[_spec("input", at, meta.input_tensor_meta(at)) for at in range(meta.num_inputs())],
            outputs=[_spec("output", at, meta.output_tensor_meta(at)) for at in range(meta.num_outputs())],
        )
        self._prepared: list[Any] = []
        self._results: Sequence[Any] = ()

    def prepare(self, inputs: Sequence[Array]) -> None:
        self._prepared = prepared(self._torch, inputs, self.signature.inputs)
        self._results = ()

    def query(self) -> None:
        self._results = self._method.execute(self._prepared)

    def outputs(self) -> list[RealArray]:
        return [real(self._torch, each) for each in self._results]


def _spec(side: str, number: int, info: Any) -> variant_pb2.TensorSpec:
    """The runtime knows tensors by number alone."""
    code = int(info.dtype())
    if code not in DTYPES:
        raise ValueError(f"{side} {number} has elements of ExecuTorch's type {code}, which can't be measured")
    return variant_pb2.TensorSpec(
        name=f"{side}_{number}", dtype=DTYPES[code], shape=[int(size) for size in info.sizes()]
    )
