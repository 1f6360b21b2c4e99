"""ExecuTorch's event tracer: an ETDump, read with the field numbers of etdump_schema_flatcc.fbs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemeter_agent.runtimes import LoadOptions, RuntimeKind
from edgemeter_agent.runtimes.executorch import opened
from edgemeter_agent.runtimes.executorch_program import BACKENDS
from edgemeter_agent.runtimes.flatbuffer import Table
from edgemeter_agent.runtimes.operators.tally import WARM_UP_QUERIES, Span, calls_of, profile_of, timed
from edgemeter_protos.v1 import result_pb2

if TYPE_CHECKING:
    from edgemeter_agent.runtimes import Array

SOURCE = "ExecuTorch's event tracer (ETDump)"

SIZE_PREFIX = 4
"""Bytes before the dump's own first."""

NATIVE = "native_call_"
"""Before the name of an operator that one of ExecuTorch's own kernels runs."""

DELEGATE = "DELEGATE_CALL"

EXECUTE = "Method::execute"


def profile(
    runtime: RuntimeKind,
    artifact_path: str,
    options: LoadOptions,
    inputs: Sequence[Array],
    queries: int,
    work_dir: Path,
) -> result_pb2.OperatorProfile:
    torch: Any = import_module("torch")
    library: Any = import_module(f"{runtime.package}.runtime").Runtime.get()
    model = opened(torch, library, artifact_path, options, trace=True)
    model.prepare(inputs)
    timed(model.query, WARM_UP_QUERIES)
    query_ns = timed(model.query, queries)
    with tempfile.TemporaryDirectory(dir=work_dir) as folder:
        dump = Path(folder, "operators.etdp")
        # The tracer is a matter of how the library was built: without it this raises, and says how.
        model.program.write_etdump_result_to_file(str(dump), str(Path(folder, "debug.bin")))
        data = dump.read_bytes()
    delegate = ", ".join(BACKENDS.get(backend, backend) for backend in model.facts.backends)
    calls = calls_of(operator_spans(memoryview(data), queries, delegate))
    return profile_of(calls, queries=queries, query_ns=query_ns, source=SOURCE)


def operator_spans(data: memoryview, queries: int, delegate: str) -> list[Span]:
    """Operators of the last `queries` executions, in ns.

    An execution is a RunData with an event "Method::execute". In it each instruction has one: an operator's
    "native_call_NAME", or "DELEGATE_CALL", which is around the parts that a delegate tells of itself, if it
    does ("Convolution (NHWC, F32) IGEMM #1", XNNPACK's in whole µs). "OPERATOR_CALL" is around the former,
    with what it takes to get there; it is left out.

    Raises ValueError where there were fewer executions, and for what is no ETDump.
    """
    executions = [run for run in _runs(data) if any(event.text(0) == EXECUTE for event in run)]
    if len(executions) < queries:
        raise ValueError(f"the dump holds {len(executions)} of {queries} executions; ask for fewer")
    return [
        Span(
            query=query,
            name=name,
            kind=kind,
            begin_ns=event.number(6, "Q"),
            end_ns=event.number(7, "Q"),
            ran_on=place,
        )
        for query, run in enumerate(executions[-queries:])
        for event in run
        for name, kind, place in _operator(event, delegate)
    ]


def _runs(data: memoryview) -> Iterator[list[Table]]:
    """Each RunData's ProfileEvents."""
    for run in Table.root(data[SIZE_PREFIX:]).tables(1):
        yield [seen for event in run.tables(3) if (seen := event.table(0)) is not None]


def _operator(event: Table, delegate: str) -> Iterator[tuple[str, str, str]]:
    """Its name, kind and place; nothing for an event that is no operator."""
    name, instruction, part = event.text(0), event.number(2, "i", -1), event.text(4)
    if part:
        yield f"{instruction}: {part}", part.partition(" #")[0], delegate
    elif name == DELEGATE:
        yield f"{instruction}: {DELEGATE}", DELEGATE, delegate
    elif name.startswith(NATIVE):
        kind = name.removeprefix(NATIVE)
        yield f"{instruction}: {kind}", kind, "ExecuTorch's kernels"
