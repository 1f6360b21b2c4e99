"""torch.profiler, for TorchScripts and exported programs: operators by their kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemeter_agent.runtimes import LoadOptions, RuntimeKind, loader
from edgemeter_agent.runtimes.operators.tally import WARM_UP_QUERIES, Call, profile_of, timed
from edgemeter_protos.v1 import result_pb2

if TYPE_CHECKING:
    from edgemeter_agent.runtimes import Array

SOURCE = "torch.profiler"

QUERY = "edgemeter query"
"""Marks a query among the events."""

Row = tuple[str, float, float]
"""Name, begin and own time, in µs: without that of the operators within."""


def profile(
    runtime: RuntimeKind,
    artifact_path: str,
    options: LoadOptions,
    inputs: Sequence[Array],
    queries: int,
    _work_dir: Path,
) -> result_pb2.OperatorProfile:
    model = loader(runtime)(artifact_path, options)
    profiler: Any = import_module(f"{runtime.package}.profiler")
    model.prepare(inputs)
    timed(model.query, WARM_UP_QUERIES)
    on_cuda = options.accelerator == "cuda"
    activities = [profiler.ProfilerActivity.CPU, *([profiler.ProfilerActivity.CUDA] if on_cuda else [])]

    def query() -> None:
        with profiler.record_function(QUERY):
            model.query()

    with profiler.profile(activities=activities) as seen:
        query_ns = timed(query, queries)
    rows = [
        (
            event.name,
            event.time_range.start,
            event.self_device_time_total if on_cuda else event.self_cpu_time_total,
        )
        for event in seen.events()
        # On CUDA its kernels have events of their own, which their operators' times include.
        if not on_cuda or str(event.device_type).endswith("CPU")
    ]
    calls = operator_calls(rows, queries, model.ran_on, counts_idle=not on_cuda)
    return profile_of(calls, queries=queries, query_ns=query_ns, source=SOURCE)


def operator_calls(rows: Iterable[Row], queries: int, ran_on: str, *, counts_idle: bool = True) -> list[Call]:
    """Operators are names with a namespace ("aten::conv2d"); others are calls of the driver and marks.
    Without `counts_idle` those that took no time of their own are left out: on a device they are the wrappers
    of those that did.

    Raises ValueError where a query left no mark.
    """
    rows = sorted(rows, key=lambda row: row[1])
    query = -1
    calls = []
    for name, _begin, own_us in rows:
        if name == QUERY:
            query += 1
        elif query >= 0 and "::" in name and (counts_idle or own_us > 0):
            kind = name.partition("::")[2]
            calls.append(Call(query=query, name=name, kind=kind, ns=own_us * 1000, ran_on=ran_on))
    if query != queries - 1:
        raise ValueError(f"it saw {query + 1} of {queries} queries")
    return calls
