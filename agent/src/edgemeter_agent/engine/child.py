"""One variant's process: `python -m edgemeter_agent.engine.child`, driven over its pipe.

Loads one model, checks its golden pair, runs its blocks, and lives as long as the engine wants. While other
variants take their blocks it sleeps in a read.
"""

from __future__ import annotations

import argparse
import resource
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.conditions.snapshot import take_after, take_before
from edgemeter_agent.engine import arrays, golden
from edgemeter_agent.engine.lifeline import die_with_parent
from edgemeter_agent.engine.loop import no_garbage_collection, timed_queries, warm_up
from edgemeter_agent.engine.pipes import read_message, take_stdio, write_message
from edgemeter_agent.runtimes import LoadedModel, kind, loader
from edgemeter_protos.preprocessing import apply_each
from edgemeter_protos.v1 import device_pb2, engine_pb2, variant_pb2

REWARM_QUERIES = 3


class Variant:
    """A model and what the engine may ask of it, in the order load, golden, blocks; or load, evaluate."""

    def __init__(self, board: BoardRoot) -> None:
        self._board = board
        self._loaded: LoadedModel | None = None

    @property
    def _model(self) -> LoadedModel:
        if self._loaded is None:
            raise ValueError("no model is loaded")
        return self._loaded

    def load(self, request: engine_pb2.ChildLoad) -> engine_pb2.ChildReply:
        """`load_ns` is reading the file, building the graph and allocating tensors. Importing the runtime is
        left out: an application pays it once, whatever the model."""
        load = loader(kind(request.runtime))
        begin = time.perf_counter_ns()
        self._loaded = load(request.artifact_path, request.threads)
        load_ns = time.perf_counter_ns() - begin
        return engine_pb2.ChildReply(
            loaded=engine_pb2.ChildLoaded(
                runtime=device_pb2.RuntimeFacts(name=request.runtime),
                signature=self._loaded.signature,
                load_ns=load_ns,
            )
        )

    def golden(self, request: engine_pb2.ChildGolden) -> engine_pb2.ChildReply:
        """Runs the golden samples one by one; the very first query of the process is timed. The first sample
        stays prepared."""
        model = self._model
        if not request.path:
            model.prepare([_zeros(spec) for spec in model.signature.inputs])
            checked = engine_pb2.ChildGoldenChecked(matches=True, first_inference_ns=_time_once(model.query))
            return engine_pb2.ChildReply(golden=checked)
        inputs = arrays.read_numbered(request.path, "input")
        expected = arrays.read_numbered(request.path, "output")
        model.prepare([array[:1] for array in inputs])
        first_inference_ns = _time_once(model.query)
        actual = run_samples(model, inputs, len(inputs[0]))
        compared = golden.compare(expected, actual, request.absolute_tolerance, request.relative_tolerance)
        model.prepare([array[:1] for array in inputs])
        return engine_pb2.ChildReply(
            golden=engine_pb2.ChildGoldenChecked(
                matches=compared.matches,
                max_absolute_error=compared.max_absolute_error,
                expected=compared.expected,
                actual=compared.actual,
                first_inference_ns=first_inference_ns,
            )
        )

    def block(self, request: engine_pb2.ChildBlock) -> engine_pb2.ChildReply:
        """Warm-up, conditions, timed queries, conditions. After reading the conditions a few untimed queries
        bring the model back into the caches."""
        query = self._model.query
        warm_up(query, request.warmup_min_queries, request.warmup_min_duration_ns)
        with no_garbage_collection():
            before = take_before(self._board)
            warm_up(query, min(REWARM_QUERIES, request.warmup_min_queries), 0)
            usage = resource.getrusage(resource.RUSAGE_SELF)
            cpu_ns, begin = time.process_time_ns(), time.perf_counter_ns()
            latencies = timed_queries(
                query,
                request.min_queries,
                request.min_duration_ns,
                max(request.batch_queries, 1),
                request.untimed_queries,
            )
            duration_ns = time.perf_counter_ns() - begin
            cpu_ns = time.process_time_ns() - cpu_ns
            after = take_after(self._board)
        switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - usage.ru_nivcsw
        return engine_pb2.ChildReply(
            block=engine_pb2.ChildBlockDone(
                latency_ns=latencies,
                process_cpu_ns=cpu_ns,
                involuntary_switches=switches,
                duration_ns=duration_ns,
                before=before,
                after=after,
            )
        )

    def evaluate(self, request: engine_pb2.ChildEvaluate) -> engine_pb2.ChildReply:
        """The first `samples` inputs (0: all), preprocessed, one by one; outputs as real values, float32,
        batch first."""
        inputs = arrays.read_numbered(request.inputs_path, "input")
        samples = min(request.samples or len(inputs[0]), len(inputs[0]))
        outputs = run_samples(self._model, inputs, samples, request.preprocessing)
        arrays.write(request.outputs_path, {f"output_{n}": array for n, array in enumerate(outputs)})
        return engine_pb2.ChildReply(evaluated=engine_pb2.ChildEvaluated(samples=samples))

    def exit(self, _request: engine_pb2.ChildExit) -> engine_pb2.ChildReply:
        return engine_pb2.ChildReply(exiting=engine_pb2.ChildExiting(peak_rss_bytes=peak_rss_bytes()))


def run_samples(
    model: LoadedModel,
    inputs: list[arrays.Array],
    samples: int,
    preprocessing: Sequence[variant_pb2.Preprocessing] = (),
) -> list[npt.NDArray[np.float32]]:
    """Outputs of the first `samples` samples, each preprocessed and run by itself. Raises ValueError for
    none, and for preprocessing that doesn't fit them."""
    if samples == 0:
        raise ValueError("there are no samples to run")
    rows: list[list[npt.NDArray[np.float32]]] = []
    for number in range(samples):
        sample = [array[number : number + 1] for array in inputs]
        model.prepare(apply_each(preprocessing, sample))
        model.query()
        rows.append(model.outputs())
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def peak_rss_bytes() -> int:
    """VmHWM. Only where there is none, getrusage's: that one starts with what the parent had at the fork."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def answer(variant: Variant, request: engine_pb2.ChildRequest) -> engine_pb2.ChildReply:
    """Whatever a runtime or a model throws becomes one line for the user."""
    asked = request.WhichOneof("request")
    if asked is None:
        return engine_pb2.ChildReply(error="an empty request")
    handler: Callable[..., engine_pb2.ChildReply] = getattr(variant, asked)
    try:
        return handler(getattr(request, asked))
    except Exception as error:
        lines = str(error).strip().splitlines()
        return engine_pb2.ChildReply(error=lines[0] if lines else type(error).__name__)


def _time_once(query: Callable[[], None]) -> int:
    begin = time.perf_counter_ns()
    query()
    return time.perf_counter_ns() - begin


def _zeros(spec: variant_pb2.TensorSpec) -> npt.NDArray[np.float32]:
    return np.zeros([1 if size < 0 else size for size in spec.shape], np.float32)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, default=Path("/"))
    parser.add_argument("--parent", type=int, required=True)
    arguments = parser.parse_args()
    # Ctrl-C at a terminal reaches the whole group; the engine decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(arguments.parent, signal.SIGKILL)
    reader, writer = take_stdio()
    variant = Variant(BoardRoot(arguments.root))
    while (request := read_message(reader, engine_pb2.ChildRequest)) is not None:
        write_message(writer, answer(variant, request))
        if request.WhichOneof("request") == "exit":
            break


if __name__ == "__main__":
    main()
