"""ONNX Runtime's own profiler: a JSON file of events, Chrome's trace format, in whole µs."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemeter_agent.runtimes import LoadOptions, RuntimeKind
from edgemeter_agent.runtimes.onnx import opened
from edgemeter_agent.runtimes.operators.tally import WARM_UP_QUERIES, Span, calls_of, profile_of, timed
from edgemeter_protos.v1 import result_pb2

if TYPE_CHECKING:
    from edgemeter_agent.runtimes import Array

SOURCE = "ONNX Runtime's profiler"

KERNEL = "_kernel_time"


def profile(
    runtime: RuntimeKind,
    artifact_path: str,
    options: LoadOptions,
    inputs: Sequence[Array],
    queries: int,
    work_dir: Path,
) -> result_pb2.OperatorProfile:
    package: Any = import_module(runtime.package)
    model = opened(package, artifact_path, options, profile_prefix=str(work_dir / "operators"))
    try:
        model.prepare(inputs)
        timed(model.query, WARM_UP_QUERIES)
        query_ns = timed(model.query, queries)
    finally:
        written = Path(model.session.end_profiling())
        text = written.read_text()
        written.unlink()
    calls = calls_of(node_spans(json.loads(text), queries))
    return profile_of(calls, queries=queries, query_ns=query_ns, source=SOURCE)


def node_spans(events: Iterable[Mapping[str, Any]], queries: int) -> list[Span]:
    """The kernels of the last `queries` runs.

    Each run is an event "model_run" of the category "Session" around its nodes' "NAME_kernel_time" of the
    category "Node", whose args tell op_name and provider; ts and dur in µs.

    Raises ValueError where there were fewer runs: then the profiler stopped before they were over (it holds a
    million events).
    """
    events = list(events)
    begins = sorted(event["ts"] for event in events if event.get("name") == "model_run")[-queries:]
    if len(begins) < queries:
        raise ValueError(f"it holds {len(begins)} of {queries} runs; ask for fewer")
    return [
        Span(
            query=bisect_right(begins, event["ts"]) - 1,
            name=event["name"].removesuffix(KERNEL),
            kind=event["args"]["op_name"],
            begin_ns=event["ts"] * 1000,
            end_ns=(event["ts"] + event["dur"]) * 1000,
            ran_on=event["args"].get("provider", ""),
        )
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith(KERNEL) and event["ts"] >= begins[0]
    ]
