"""One variant's process: `python -m edgemeter_agent.engine.child`, driven over its pipe.

Loads one model, checks its golden pair, runs its blocks, and lives as long as the engine wants. While other
variants take their blocks it sleeps in a read.
"""

from __future__ import annotations

import argparse
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from edgemeter_agent.board.root import BoardRoot, SteadyRoot
from edgemeter_agent.conditions.machine import ON_PROCESSORS
from edgemeter_agent.conditions.snapshot import take_after, take_before
from edgemeter_agent.engine import arrays, golden
from edgemeter_agent.engine.affinity import allowed_cpus, pin
from edgemeter_agent.engine.batches import batch_of, run_samples
from edgemeter_agent.engine.first_tokens import FirstTokens
from edgemeter_agent.engine.lifeline import die_with_parent
from edgemeter_agent.engine.loop import Query, no_garbage_collection, warm_up
from edgemeter_agent.engine.pipes import read_message, take_stdio, write_message
from edgemeter_agent.engine.scenarios import scenario_of
from edgemeter_agent.engine.window import REWARM_QUERIES, take_window
from edgemeter_agent.runtimes import LoadedModel, LoadOptions, TextModel, arena_detail, kind, loader
from edgemeter_protos.v1 import device_pb2, engine_pb2, variant_pb2


class Variant:
    """A model and what the engine may ask of it, in the order load, golden, blocks and windows; or load,
    evaluate; or load, profile."""

    def __init__(self, board: BoardRoot) -> None:
        self._board = board
        self._loaded: LoadedModel | None = None
        self._asked = engine_pb2.ChildLoad()

    @property
    def _model(self) -> LoadedModel:
        if self._loaded is None:
            raise ValueError("no model is loaded")
        return self._loaded

    @property
    def _options(self) -> LoadOptions:
        return LoadOptions(
            threads=max(self._asked.threads, 1),
            batch_size=max(self._asked.batch_size, 1),
            accelerator=self._asked.accelerator,
            generation=self._asked.generation if self._writes_text else None,
        )

    @property
    def _writes_text(self) -> bool:
        return self._asked.HasField("generation")

    @property
    def _window_query(self) -> Query:
        """What is run back to back where none is timed by itself: of a model that writes text, a token."""
        return cast("TextModel", self._model).decode if self._writes_text else self._model.query

    @property
    def _uses_accelerator(self) -> bool:
        return self._asked.accelerator not in ON_PROCESSORS

    def load(self, request: engine_pb2.ChildLoad) -> engine_pb2.ChildReply:
        """`load_ns` is reading the file, building the graph and allocating tensors. Importing the runtime is
        left out: an application pays it once, whatever the model. Threads inherit the processors of the one
        that starts them, and some runtimes start theirs when they are imported: so pinning comes first."""
        self._loaded, self._asked = None, request
        runtime = kind(request.runtime)
        if self._writes_text and not runtime.writes_text:
            raise ValueError(f"{runtime.name} does not write text")
        pin(request.affinity_cpus)
        load = loader(runtime)
        imported_peak_rss_bytes = peak_rss_bytes()
        begin = time.perf_counter_ns()
        model = load(request.artifact_path, self._options)
        load_ns = time.perf_counter_ns() - begin
        self._loaded = model
        return engine_pb2.ChildReply(
            loaded=engine_pb2.ChildLoaded(
                runtime=device_pb2.RuntimeFacts(name=request.runtime, ran_on=model.ran_on),
                signature=model.signature,
                load_ns=load_ns,
                arena_bytes=model.arena_bytes(),
                arena_detail=arena_detail(runtime),
                cpus=allowed_cpus(),
                imported_peak_rss_bytes=imported_peak_rss_bytes,
            )
        )

    def golden(self, request: engine_pb2.ChildGolden) -> engine_pb2.ChildReply:
        """Runs the golden samples, a batch at a time, and compares them one by one; what fills up the last
        batch is compared too. The very first query of the process is timed. The first batch stays
        prepared."""
        model = self._model
        first = self._first_batch(request.path)
        model.prepare(first)
        first_inference_ns = _time_once(model.query)
        peak = peak_rss_bytes()
        if not request.path:
            # Outputs of another batch are refused here, where no comparison would find them.
            model.outputs()
            checked = engine_pb2.ChildGoldenChecked(
                matches=True, first_inference_ns=first_inference_ns, peak_rss_bytes=peak
            )
            return engine_pb2.ChildReply(golden=checked)
        inputs = arrays.read_numbered(request.path, "input")
        expected = arrays.read_numbered(request.path, "output")
        samples, batch_size = len(inputs[0]), self._options.batch_size
        actual = run_samples(model, inputs, samples, batch_size=batch_size)
        model.prepare(first)
        compared = golden.compare(
            golden.filled_up(expected, samples, batch_size),
            actual,
            request.absolute_tolerance,
            request.relative_tolerance,
        )
        return engine_pb2.ChildReply(
            golden=engine_pb2.ChildGoldenChecked(
                matches=compared.matches,
                max_absolute_error=compared.max_absolute_error,
                expected=compared.expected,
                actual=compared.actual,
                first_inference_ns=first_inference_ns,
                peak_rss_bytes=peak,
            )
        )

    def block(self, request: engine_pb2.ChildBlock) -> engine_pb2.ChildReply:
        """Warm-up, conditions, the scenario's timed part, conditions. After reading the conditions a few
        untimed queries bring the model back into the caches; of a model that writes text, a few tokens."""
        query = self._model.query
        stamps = FirstTokens(cast("TextModel", self._model)) if self._writes_text else None
        timed = scenario_of(request.scenario)(request, stamps or query, self._options.batch_size)
        warm_up(query, request.warmup_min_queries, request.warmup_min_duration_ns)
        with no_garbage_collection():
            before = take_before(self._board)
            warm_up(self._window_query, min(REWARM_QUERIES, request.warmup_min_queries), 0)
            usage = resource.getrusage(resource.RUSAGE_SELF)
            cpu_ns = time.process_time_ns()
            taken = timed()
            cpu_ns = time.process_time_ns() - cpu_ns
            after = take_after(self._board, uses_accelerator=self._uses_accelerator)
        switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - usage.ru_nivcsw
        return engine_pb2.ChildReply(
            block=engine_pb2.ChildBlockDone(
                latency_ns=taken.latency_ns,
                process_cpu_ns=cpu_ns,
                involuntary_switches=switches,
                duration_ns=taken.duration_ns,
                before=before,
                after=after,
                samples=taken.samples,
                queueing_ns=taken.queueing_ns,
                most_in_flight=taken.most_in_flight,
                unserved_queries=taken.unserved_queries,
                last_arrival_ns=taken.last_arrival_ns,
                lateness_p50_ns=taken.lateness_p50_ns,
                lateness_max_ns=taken.lateness_max_ns,
                first_token_ns=stamps.of_timed(request.untimed_queries) if stamps else None,
            )
        )

    def window(self, request: engine_pb2.ChildWindow) -> engine_pb2.ChildReply:
        batch_size = self._options.batch_size
        done = take_window(request, self._window_query, batch_size, self._board, self._uses_accelerator)
        return engine_pb2.ChildReply(window=done)

    def profile(self, request: engine_pb2.ChildProfile) -> engine_pb2.ChildReply:
        """The profiler loads the model anew, in its own way; ours is given back first, and so nothing more
        can be asked of it."""
        if not request.queries:
            raise ValueError("a profile needs at least one query")
        inputs = self._first_batch(request.golden_path)
        self._loaded = None
        Path(request.work_dir).mkdir(parents=True, exist_ok=True)
        # Only this process needs it: it would be counted as the memory of the others.
        from edgemeter_agent.runtimes import operators

        profile = operators.profile(
            self._asked.runtime,
            self._asked.artifact_path,
            self._options,
            inputs,
            request.queries,
            request.work_dir,
        )
        return engine_pb2.ChildReply(profile=profile)

    def evaluate(self, request: engine_pb2.ChildEvaluate) -> engine_pb2.ChildReply:
        """The first `samples` inputs (0: all), preprocessed, a batch at a time; outputs as real values,
        float32, batch first."""
        inputs = arrays.read_numbered(request.inputs_path, "input")
        samples = min(request.samples or len(inputs[0]), len(inputs[0]))
        batch_size = self._options.batch_size
        outputs = run_samples(self._model, inputs, samples, request.preprocessing, batch_size)
        if batch_size > 1:
            outputs = [array[:samples] for array in outputs]
        arrays.write(request.outputs_path, {f"output_{n}": array for n, array in enumerate(outputs)})
        return engine_pb2.ChildReply(evaluated=engine_pb2.ChildEvaluated(samples=samples))

    def exit(self, _request: engine_pb2.ChildExit) -> engine_pb2.ChildReply:
        return engine_pb2.ChildReply(exiting=engine_pb2.ChildExiting(peak_rss_bytes=peak_rss_bytes()))

    def _first_batch(self, golden_path: str) -> list[arrays.Array]:
        """Of the golden inputs; zeros where there are none."""
        batch_size = self._options.batch_size
        if not golden_path:
            return [_zeros(spec, batch_size) for spec in self._model.signature.inputs]
        inputs = arrays.read_numbered(golden_path, "input")
        if not len(inputs[0]):
            raise ValueError(f"{Path(golden_path).name} has no samples")
        return batch_of(inputs, 0, len(inputs[0]), batch_size)


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


def _zeros(spec: variant_pb2.TensorSpec, batch_size: int) -> npt.NDArray[np.float32]:
    """Free dimensions are 1, but for the batch."""
    sizes = [1 if size < 0 else size for size in spec.shape]
    if sizes and spec.shape[0] < 0:
        sizes[0] = batch_size
    return np.zeros(sizes, np.float32)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, default=Path("/"))
    parser.add_argument("--parent", type=int, required=True)
    arguments = parser.parse_args()
    # Ctrl-C at a terminal reaches the whole group; the engine decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(arguments.parent, signal.SIGKILL)
    reader, writer = take_stdio()
    variant = Variant(SteadyRoot(arguments.root))
    while (request := read_message(reader, engine_pb2.ChildRequest)) is not None:
        write_message(writer, answer(variant, request))
        if request.WhichOneof("request") == "exit":
            break


if __name__ == "__main__":
    main()
