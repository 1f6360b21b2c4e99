"""Energy of all variants: idle, interleaved windows of back-to-back queries, idle, read by one meter.

Apart from latency: reading a meter takes processor time, and windows are longer than blocks.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgemeter_agent.conditions.judge import Machine, judge_block
from edgemeter_agent.conditions.summary import SeenBlock
from edgemeter_agent.energy.integrate import Span
from edgemeter_agent.energy.judge import METER_FEW_READINGS, Watched, judge_window
from edgemeter_agent.energy.sampler import Sampler
from edgemeter_agent.energy.summary import Seen, Window, summarize
from edgemeter_agent.energy.windows import EXTENDED, SECOND_NS, WindowPlan, period_ns, plan_windows
from edgemeter_agent.engine import arrays
from edgemeter_agent.engine.load_step_check import REMOTE, LoadStep, check_load_step
from edgemeter_agent.engine.order import block_order
from edgemeter_agent.engine.sizing import window_patience_s
from edgemeter_agent.engine.variant_process import VariantError
from edgemeter_agent.meters import Meter
from edgemeter_protos.v1 import device_pb2, engine_pb2, plan_pb2, result_pb2

FIRST_READING_TIMEOUT_S = 10.0
"""Beside five of the meter's periods."""

LATE_S = 1.0
"""Likewise: how long a reading may take to be handed over."""


class TakesWindows(Protocol):
    """A variant's process, loaded and with a sample prepared."""

    def window(self, request: engine_pb2.ChildWindow, patience_s: float) -> engine_pb2.ChildWindowDone:
        """Raises VariantError."""


ProcessOf = Callable[[int], AbstractContextManager[TakesWindows]]
"""Of a variant's index: entered for each window, so that it decides which processes stay alive. Entering may
raise VariantError."""


@dataclass(frozen=True, kw_only=True)
class EnergyVariant:
    """`query_ns` is what a query takes, about: it decides how a lag is met, and when a process counts as
    hung."""

    name: str
    query_ns: float


@dataclass(frozen=True, kw_only=True)
class EnergyOutcome:
    """Of one variant.

    Attributes:
        degraded: (code, detail) of what makes the energy worth less than it could be, for the verdict.
        failure: code and detail of why its process could not go on; None where it could.
        seen: conditions around each window, with every reason that voided it.
        trace: arrays for `write_trace`; empty where nothing was read.
    """

    energy: result_pb2.Energy
    degraded: tuple[tuple[str, str], ...] = ()
    failure: tuple[str, str] | None = None
    seen: tuple[SeenBlock, ...] = ()
    trace: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)


def no_meter(detail: str) -> result_pb2.Energy:
    """`detail` is one line: "no meter on this board"."""
    return result_pb2.Energy(status=result_pb2.ENERGY_STATUS_NO_METER, detail=detail)


def not_asked() -> result_pb2.Energy:
    return result_pb2.Energy(status=result_pb2.ENERGY_STATUS_NOT_ASKED, detail="the plan asks for no energy")


def steps(variants: int, plan: plan_pb2.Plan) -> int:
    """How often `measure_energy` tells what it does, voided windows left out."""
    return 2 + variants * plan.energy_windows


def measure_energy(
    variants: Sequence[EnergyVariant],
    process_of: ProcessOf,
    meter: Meter,
    plan: plan_pb2.Plan,
    machine: Machine,
    *,
    facts: device_pb2.MeterFacts,
    tell: Callable[[str], None] = lambda _: None,
) -> list[EnergyOutcome]:
    """An outcome for each variant, in their order. The meter must be open, and stays so; `facts` are what the
    result says of it.

    A remote meter says in its attribute `alignment_ns` what its stamps may be off by (a standard
    uncertainty); it is asked at the end, when it has compared clocks for the last time. Raises what `window`
    raises, but for VariantError, which ends one variant.
    """
    with Sampler(meter) as sampler:
        phase = _Phase(variants, process_of, sampler, meter, plan, machine, tell)
        timeout_s = FIRST_READING_TIMEOUT_S + 5 * period_ns(meter.description) / SECOND_NS
        if sampler.wait_for_first(timeout_s):
            phase.run()
        alignment_ns = float(getattr(meter, "alignment_ns", 0.0))
    return phase.outcomes(facts, alignment_ns)


def write_trace(path: str, outcome: EnergyOutcome) -> None:
    """An .npz with what result.proto names at `trace_digest`. Raises OSError."""
    arrays.write(path, outcome.trace)


@dataclass(kw_only=True)
class _Taken:
    """What is known of one variant while windows are taken."""

    variant: EnergyVariant
    windows: WindowPlan
    done: list[engine_pb2.ChildWindowDone] = field(default_factory=list)
    conditions: list[tuple[str, ...]] = field(default_factory=list)
    """Of each window, for which reasons the board voided it."""
    failure: tuple[str, str] | None = None
    repeats: int = 0


class _Phase:
    def __init__(
        self,
        variants: Sequence[EnergyVariant],
        process_of: ProcessOf,
        sampler: Sampler,
        meter: Meter,
        plan: plan_pb2.Plan,
        machine: Machine,
        tell: Callable[[str], None],
    ) -> None:
        self._process_of, self._sampler, self._plan = process_of, sampler, plan
        self._meter = meter
        self._description = meter.description
        self._load_step: LoadStep | None = None
        self._machine, self._tell = machine, tell
        self._late_s = LATE_S + 5 * period_ns(meter.description) / SECOND_NS
        self._taken = [
            _Taken(variant=one, windows=plan_windows(meter.description, plan, one.query_ns))
            for one in variants
        ]
        self._idle: list[Span | None] = [None, None]

    def run(self) -> None:
        if self._description.kind == REMOTE and self._taken:
            self._tell(f"{self._description.name}: does it show this board's load?")
            alignment_ns = float(getattr(self._meter, "alignment_ns", 0.0))
            self._load_step = check_load_step(
                self._sampler, self._description, self._plan.seed, alignment_ns, self._late_s
            )
            if self._load_step.void:
                return
        self._idle[0] = self._stay_idle("idle before")
        passes = block_order(
            len(self._taken), self._plan.energy_windows, self._plan.seed, self._plan.processes
        )
        queue = deque(index for one in passes for index in one)
        while queue and self._sampler.gone is None:
            index = queue.popleft()
            if self._taken[index].failure is None and not self._window(index):
                queue.append(index)
        if self._sampler.gone is None:
            self._idle[1] = self._stay_idle("idle after")

    def _stay_idle(self, when: str) -> Span | None:
        if not self._taken:
            return None
        windows = self._taken[0].windows
        self._tell(f"{self._description.name}: {when}")
        _sleep_ns(windows.settle_ns)
        begin_ns = time.monotonic_ns()
        _sleep_ns(windows.idle_ns)
        span = Span(begin_ns=begin_ns, end_ns=time.monotonic_ns())
        self._sampler.wait_for(span.end_ns, self._late_s)
        return span

    def _window(self, index: int) -> bool:
        """Takes a window. False where it is to be repeated."""
        taken = self._taken[index]
        number = min(len(taken.done) - taken.repeats + 1, self._plan.energy_windows)
        self._tell(f"{taken.variant.name}: energy window {number} of {self._plan.energy_windows}")
        try:
            with self._process_of(index) as process:
                done = self._take(taken, process)
        except VariantError as failed:
            taken.failure = (failed.code, failed.detail)
            return True
        self._sampler.wait_for(done.end_ns, self._late_s)
        taken.done.append(done)
        taken.conditions.append(tuple(judge_block(done.before, done.after, self._machine)))
        void = taken.conditions[-1] or judge_window(self._watched(), _span(done))
        if void and taken.repeats < self._plan.max_voided_blocks:
            taken.repeats += 1
            return False
        return True

    def _take(self, taken: _Taken, process: TakesWindows) -> engine_pb2.ChildWindowDone:
        windows = taken.windows
        extended = windows.lag_rule == EXTENDED
        request = engine_pb2.ChildWindow(
            duration_ns=windows.duration_ns,
            warmup_min_queries=0 if extended else self._plan.warmup_min_queries,
            warmup_min_duration_ns=windows.warmup_ns,
        )
        if extended:
            _sleep_ns(windows.settle_ns)
        patience_s = window_patience_s(request, taken.variant.query_ns) + windows.warmup_ns / SECOND_NS
        done = process.window(request, patience_s)
        if extended:
            _sleep_ns(windows.settle_ns)
        return done

    def _watched(self) -> Watched:
        gone = self._sampler.gone
        return Watched(
            trace=self._sampler.trace(),
            description=self._description,
            collected=self._sampler.collected,
            idle=[span for span in self._idle if span is not None],
            windows=[_span(done) for taken in self._taken for done in taken.done],
            gone=gone[0] if gone else "",
        )

    def outcomes(self, facts: device_pb2.MeterFacts, alignment_ns: float) -> list[EnergyOutcome]:
        """Windows are judged again: what came after them may show that the meter had frozen."""
        watched = self._watched()
        seen = Seen(
            trace=watched.trace,
            description=self._description,
            facts=facts,
            idle_before=self._idle[0],
            idle_after=self._idle[1],
            alignment_ns=alignment_ns,
            cpu_share=self._sampler.cpu_share,
        )
        return [self._outcome(taken, watched, seen) for taken in self._taken]

    def _outcome(self, taken: _Taken, watched: Watched, seen: Seen) -> EnergyOutcome:
        windows = [
            Window(
                span=_span(done),
                queries=done.queries,
                samples=done.samples,
                void_reasons=tuple(dict.fromkeys((*conditions, *judge_window(watched, _span(done))))),
            )
            for done, conditions in zip(taken.done, taken.conditions, strict=True)
        ]
        summary = summarize(
            seen,
            windows,
            taken.windows,
            self._plan.energy_windows,
            missing=self._why_missing(taken, windows),
        )
        blocks = tuple(
            SeenBlock(before=done.before, after=done.after, void_reasons=window.void_reasons)
            for done, window in zip(taken.done, windows, strict=True)
        )
        return EnergyOutcome(
            energy=summary.energy,
            degraded=(*summary.degraded, *self._late()),
            failure=taken.failure,
            seen=blocks,
            trace=trace_arrays(seen, windows),
        )

    def _late(self) -> tuple[tuple[str, str], ...]:
        late = self._load_step.degraded if self._load_step else None
        return (late,) if late else ()

    def _why_missing(self, taken: _Taken, windows: Sequence[Window]) -> tuple[str, str] | None:
        """Why fewer windows were taken than planned: code and detail."""
        if len(windows) >= self._plan.energy_windows:
            return None
        if taken.failure is not None:
            return taken.failure
        if self._load_step is not None and self._load_step.void:
            return self._load_step.void
        if self._sampler.gone is not None:
            return self._sampler.gone
        return (METER_FEW_READINGS, f"{self._description.name} gave no reading")


def trace_arrays(seen: Seen, windows: Sequence[Window]) -> dict[str, npt.NDArray[Any]]:
    """What the meter read in the whole of the phase, and where in it this variant's windows and the idle
    spans lie."""
    trace = seen.trace
    if not trace.monotonic_ns.size:
        return {}
    idle = [span for span in (seen.idle_before, seen.idle_after) if span is not None]
    named: dict[str, npt.NDArray[Any]] = {
        "power_monotonic_ns": trace.monotonic_ns,
        "power_total_mw": trace.total_mw,
        "power_mw": trace.rails_mw,
        "windows_ns": _spans([window.span for window in windows]),
        "windows_kept": np.array([not window.void_reasons for window in windows], np.bool_),
        "idle_ns": _spans(idle),
    }
    if trace.counter_uj.size:
        named["energy_counter_uj"] = trace.counter_uj
    return named


def _spans(spans: Sequence[Span]) -> npt.NDArray[np.int64]:
    return np.array([(span.begin_ns, span.end_ns) for span in spans], np.int64).reshape(len(spans), 2)


def _span(done: engine_pb2.ChildWindowDone) -> Span:
    return Span(begin_ns=done.begin_ns, end_ns=done.end_ns)


def _sleep_ns(duration_ns: int) -> None:
    time.sleep(duration_ns / SECOND_NS)
