"""LiteRT's profiler, which its C library has and its Python API has not.

What it profiles is LiteRT's compiled model, not the interpreter that is measured otherwise; both run the same
graph in the same kernels: XNNPACK's, or TFLite's own where the accelerator is "cpu".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemeter_agent.runtimes import LoadOptions, RuntimeKind
from edgemeter_agent.runtimes.operators.litert_library import KNOWN_VERSION, LIBRARY, Event, ProfiledModel
from edgemeter_agent.runtimes.operators.tally import WARM_UP_QUERIES, Call, profile_of, timed
from edgemeter_agent.runtimes.tflite import opened
from edgemeter_protos.v1 import result_pb2

if TYPE_CHECKING:
    from edgemeter_agent.runtimes import Array

SOURCE = "LiteRT's profiler over its compiled model"

OPERATOR = 2
DELEGATE_OPERATORS = (4, 8)
"""tflite::Profiler::EventType: an operator of the graph, and those that a delegate tells of inside itself."""


def profile(
    runtime: RuntimeKind,
    artifact_path: str,
    options: LoadOptions,
    inputs: Sequence[Array],
    queries: int,
    _work_dir: Path,
) -> result_pb2.OperatorProfile:
    installed = version(runtime.packages[0].distributions[0])
    if not installed.startswith(f"{KNOWN_VERSION}."):
        return result_pb2.OperatorProfile(
            unavailable=f"this agent knows LiteRT {KNOWN_VERSION}'s profiler, and {installed} is installed"
        )
    given, got = _tensors(runtime, artifact_path, options, inputs)
    with ProfiledModel(_library(runtime), artifact_path, cpu_options(options)) as model:
        model.fill(given, got)
        timed(model.run, WARM_UP_QUERIES)
        query_ns: list[int] = []
        calls: list[Call] = []
        for query in range(queries):
            model.start()
            query_ns += timed(model.run, 1)
            calls += operator_calls(model.events(), query)
    return profile_of(calls, queries=queries, query_ns=query_ns, source=SOURCE)


def cpu_options(options: LoadOptions) -> str:
    """TOML for the processor's part of the library."""
    mode = "builtin" if options.accelerator == "cpu" else "xnnpack"
    return f'num_threads = {options.threads}\nkernel_mode = "{mode}"\n'


def operator_calls(events: Iterable[Event], query: int) -> list[Call]:
    """Of one query. Operators of the graph have a number there. A delegate numbers its own from 0, once for
    each part of the graph that it took: a number that does not rise begins the next part.

    Elapsed times are whole µs, XNNPACK's too.
    """
    calls = []
    part, last = -1, -1
    for event in events:
        if event.kind == OPERATOR:
            name, place = f"{event.tag} #{event.number}", "CPU"
            last = -1
        elif event.kind in DELEGATE_OPERATORS:
            part += event.number <= last or last < 0
            last = event.number
            name, place = f"{part}: {event.tag} #{event.number}", "XNNPACK"
        else:
            continue
        calls.append(Call(query=query, name=name, kind=event.tag, ns=event.elapsed_us * 1000, ran_on=place))
    return calls


def _library(runtime: RuntimeKind) -> Path:
    """Raises RuntimeError where the wheel has none."""
    spec = find_spec(runtime.package)
    path = (
        Path(spec.origin).parent / LIBRARY if spec is not None and spec.origin is not None else Path(LIBRARY)
    )
    if not path.exists():
        raise RuntimeError(f"this build of {runtime.name} has no {LIBRARY}")
    return path


def _tensors(
    runtime: RuntimeKind, artifact_path: str, options: LoadOptions, inputs: Sequence[Array]
) -> tuple[list[tuple[int, Array]], list[tuple[int, Array]]]:
    """What goes into the model, as it is stored there, and arrays like those that come out: asked of the
    interpreter."""
    module: Any = import_module(f"{runtime.package}.interpreter")
    model = opened(module, artifact_path, options)
    model.prepare(inputs)
    model.query()
    return model.given, model.got
