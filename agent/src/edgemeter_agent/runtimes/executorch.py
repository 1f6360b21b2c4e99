"""ExecuTorch's Python runtime, which takes and gives torch's tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemeter_agent.runtimes.accelerators import EXECUTORCH, unknown
from edgemeter_agent.runtimes.batch import batched, check_free, check_outputs
from edgemeter_agent.runtimes.executorch_program import (
    ProgramFacts,
    check_accelerator,
    free_batch,
    ran_on,
    read_program,
)
from edgemeter_agent.runtimes.torch_tensors import prepared, real
from edgemeter_protos.v1 import variant_pb2

if TYPE_CHECKING:
    from edgemeter_agent.runtimes import Array, LoadedModel, LoadOptions, RealArray

ARENA = (
    "buffers of the program's memory plan, which the runtime allocates; delegates' own memory is not in it"
)

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


def loader(package: str) -> Callable[[str, LoadOptions], LoadedModel]:
    """Raises ImportError, also where torch is missing: the runtime's tensors are torch's."""
    torch: Any = import_module("torch")
    runtime: Any = import_module(f"{package}.runtime").Runtime.get()
    library: Any = import_module(f"{package}.extension.pybindings.portable_lib")

    def load(artifact_path: str, options: LoadOptions) -> LoadedModel:
        if options.accelerator not in ("", *EXECUTORCH):
            raise unknown("ExecuTorch", options.accelerator, EXECUTORCH)
        if library._threadpool_get_thread_count() != options.threads:
            # Unsafe while something runs in the pool; nothing has been loaded yet.
            library._unsafe_reset_threadpool(options.threads)
        return opened(torch, runtime, artifact_path, options)

    return load


def opened(
    torch: Any, runtime: Any, artifact_path: str, options: LoadOptions, *, trace: bool = False
) -> ExecuTorchModel:
    """Raises ValueError, one line, for an accelerator that the program was not made for, and for a batch that
    it does not take."""
    program = runtime.load_program(Path(artifact_path), enable_etdump=trace)
    if METHOD not in program.method_names:
        raise ValueError(f"the program has no method {METHOD!r}")
    # The program must outlive its method: it holds the memory.
    model = ExecuTorchModel(torch, program, program.load_method(METHOD), artifact_path, options.batch_size)
    if options.accelerator:
        check_accelerator(options.accelerator, model.facts.backends)
    return model


class ExecuTorchModel:
    """A method of a program. A query is its execution on the prepared tensors; its outputs are copied out by
    the runtime, as for any application."""

    def __init__(self, torch: Any, program: Any, method: Any, path: str, batch_size: int = 1) -> None:
        self._torch = torch
        self.program = program
        self._method = method
        self._path = path
        self._batch_size = batch_size
        meta = method.metadata
        inputs = [_spec("input", at, meta.input_tensor_meta(at)) for at in range(meta.num_inputs())]
        outputs = [_spec("output", at, meta.output_tensor_meta(at)) for at in range(meta.num_outputs())]
        if any(list(spec.shape[:1]) not in ([], [batch_size]) for spec in inputs):
            # Whether a size is fixed or the largest, only the file tells.
            inputs = free_batch(inputs, self.facts.dynamic, batch_size)
            check_free("input", inputs, batch_size)
        self.signature = batched(variant_pb2.Signature(inputs=inputs, outputs=outputs), batch_size)
        self._prepared: list[Any] = []
        self._results: Sequence[Any] = ()

    @cached_property
    def facts(self) -> ProgramFacts:
        return read_program(self._path, METHOD)

    @cached_property
    def ran_on(self) -> str:
        return ran_on(self.facts)

    def arena_bytes(self) -> int | None:
        return self.facts.planned_bytes

    def prepare(self, inputs: Sequence[Array]) -> None:
        self._prepared = prepared(self._torch, inputs, self.signature.inputs)
        self._results = ()

    def query(self) -> None:
        self._results = self._method.execute(self._prepared)

    def outputs(self) -> list[RealArray]:
        """Raises ValueError where an output has no row for each sample of the batch."""
        check_outputs([list(tensor.shape) for tensor in self._results], self._batch_size)
        return [real(self._torch, each) for each in self._results]


def _spec(side: str, number: int, info: Any) -> variant_pb2.TensorSpec:
    """The runtime knows tensors by number alone."""
    code = int(info.dtype())
    if code not in DTYPES:
        raise ValueError(f"{side} {number} has elements of ExecuTorch's type {code}, which can't be measured")
    return variant_pb2.TensorSpec(
        name=f"{side}_{number}", dtype=DTYPES[code], shape=[int(size) for size in info.sizes()]
    )
