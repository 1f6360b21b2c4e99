"""What an ExecuTorch program says of itself that its Python runtime does not: backends, kernels, plans.

Field numbers are those of executorch/schema/program.fbs, whose promise is to keep them.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgemeter_agent.runtimes.flatbuffer import Table
from edgemeter_protos.v1 import variant_pb2

IDENTIFIER = b"ET"
"""At byte 4, then two digits of the schema's version: "ET12"."""

KERNEL_CALL = 1
"""Type of the union InstructionArguments."""

TENSOR = 5
"""Type of the union KernelTypes."""

BACKENDS = {"XnnpackBackend": "XNNPACK"}
"""Names for people; others go by their own."""


@dataclass(frozen=True, kw_only=True)
class ProgramFacts:
    """Of one method."""

    backends: tuple[str, ...]
    """That its delegates were built for, by name, each once."""
    kernel_calls: int
    """Operators left to ExecuTorch's own kernels."""
    planned_bytes: int
    """Of the buffers that the memory plan lays its tensors in, and the runtime allocates
    (MethodMeta::memory_planned_buffer_size). Delegates' own memory is not in it."""
    dynamic: tuple[bool, ...]
    """Whether an input's sizes are upper bounds, not its very sizes; one for each."""


def read_program(path: str, method: str) -> ProgramFacts:
    """Raises ValueError, one line, for what is no program, and OSError."""
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        if mapped[4:6] != IDENTIFIER:
            raise ValueError(f"{Path(path).name} is no ExecuTorch program")
        with memoryview(mapped) as data:
            return method_facts(data, method)


def method_facts(data: memoryview, method: str) -> ProgramFacts:
    """Raises ValueError, one line."""
    plan = next((plan for plan in Table.root(data).tables(1) if plan.text(0) == method), None)
    if plan is None:
        raise ValueError(f"the program has no method {method!r}")
    calls = [instruction.number(0, "B") for chain in plan.tables(5) for instruction in chain.tables(2)]
    # The first size is kept for constants and means nothing.
    sizes = list(plan.numbers(8, "q"))[1:]
    return ProgramFacts(
        backends=tuple(dict.fromkeys(delegate.text(0) for delegate in plan.tables(7))),
        kernel_calls=calls.count(KERNEL_CALL),
        planned_bytes=sum(sizes),
        dynamic=tuple(_is_dynamic(plan.item(2, number)) for number in plan.numbers(3, "i")),
    )


def _is_dynamic(value: Table) -> bool:
    tensor = value.table(1) if value.number(0, "B") == TENSOR else None
    return tensor is not None and tensor.number(8, "B") != 0


def ran_on(facts: ProgramFacts) -> str:
    """ "CPU (XNNPACK)", "CPU (XNNPACK, 3 operators in ExecuTorch's kernels)", or those alone."""
    if not facts.backends:
        return "CPU (ExecuTorch's kernels)"
    names = ", ".join(BACKENDS.get(backend, backend) for backend in facts.backends)
    if facts.kernel_calls:
        operators = "operator" if facts.kernel_calls == 1 else "operators"
        names += f", {facts.kernel_calls} {operators} in ExecuTorch's kernels"
    return f"CPU ({names})" if set(facts.backends) <= set(BACKENDS) else names


def check_accelerator(accelerator: str, backends: Sequence[str]) -> None:
    """Raises ValueError, one line: where a program computes was settled when it was made."""
    built = ", ".join(BACKENDS.get(backend, backend) for backend in backends) or "no delegate"
    if accelerator == "xnnpack" and "XnnpackBackend" not in backends:
        raise ValueError(f"the program was made for {built}, and 'xnnpack' was asked for")
    if accelerator == "cpu" and backends:
        raise ValueError(f"the program was made for {built}, and 'cpu' wants ExecuTorch's own kernels alone")


def free_batch(
    inputs: Sequence[variant_pb2.TensorSpec], dynamic: Sequence[bool], batch_size: int
) -> list[variant_pb2.TensorSpec]:
    """The inputs with a free first dimension where the program leaves it free.

    Raises ValueError, one line, for a batch beyond the memory plan: a dynamic input's sizes are its largest.
    """
    made = []
    for number, (spec, free) in enumerate(zip(inputs, dynamic, strict=True)):
        free_spec = variant_pb2.TensorSpec()
        free_spec.CopyFrom(spec)
        if free and spec.shape:
            if spec.shape[0] < batch_size:
                raise ValueError(
                    f"the program's memory is planned for at most {spec.shape[0]} samples of input {number},"
                    f" and a batch of {batch_size} was asked for: export it for that batch"
                )
            free_spec.shape[0] = -1
        made.append(free_spec)
    return made
