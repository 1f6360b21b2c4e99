"""Whole measurements of random curves by a meter's model, through the same pure functions as real ones."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from edgemeter_agent.energy.integrate import Span
from edgemeter_agent.energy.judge import Watched, judge_window
from edgemeter_agent.energy.summary import Seen, Window, summarize
from edgemeter_agent.energy.windows import plan_windows
from edgemeter_protos.v1 import device_pb2, plan_pb2, result_pb2
from tests.simulated_board.curves import BEGIN_NS, SECOND_NS, draw
from tests.simulated_board.models import Model, observe

PLAN = plan_pb2.Plan(
    energy_windows=5,
    energy_window_min_duration_ns=10 * SECOND_NS,
    idle_duration_ns=30 * SECOND_NS,
    warmup_min_queries=10,
    warmup_min_duration_ns=SECOND_NS // 2,
)


@dataclass(frozen=True, kw_only=True)
class Trial:
    energy: result_pb2.Energy
    gross_uj: float
    """The truth; likewise net."""
    net_uj: float

    @property
    def error(self) -> float:
        """Of gross energy an inference, as a share of the truth."""
        return self.energy.gross_uj_per_inference / self.gross_uj - 1

    @property
    def covered(self) -> bool:
        return abs(self.energy.gross_uj_per_inference - self.gross_uj) <= self.energy.gross_uncertainty_uj

    @property
    def net_covered(self) -> bool:
        return abs(self.energy.net_uj_per_inference - self.net_uj) <= self.energy.net_uncertainty_uj


def trial(model: Model, seed: int, plan: plan_pb2.Plan = PLAN) -> Trial:
    random = np.random.default_rng(seed)
    meter = model.description
    windows = plan_windows(meter, plan, model.query_range_ns[0])
    curve = draw(
        random,
        windows,
        plan.energy_windows,
        model.idle_range_mw,
        model.load_range_mw,
        model.step_ns,
        model.query_range_ns,
    )
    trace = observe(model, curve, random)
    watched = Watched(
        trace=trace,
        description=meter,
        collected=Span(begin_ns=BEGIN_NS, end_ns=BEGIN_NS + curve.power_mw.size * curve.step_ns),
        idle=(curve.idle_before, curve.idle_after),
        windows=curve.windows,
    )
    seen = Seen(
        trace=trace,
        description=meter,
        facts=device_pb2.MeterFacts(name=meter.name),
        idle_before=curve.idle_before,
        idle_after=curve.idle_after,
        alignment_ns=model.alignment_ns,
    )
    taken = [
        Window(span=span, queries=count, samples=count, void_reasons=judge_window(watched, span))
        for span, count in zip(curve.windows, curve.inferences, strict=True)
    ]
    energy = summarize(seen, taken, windows, plan.energy_windows).energy
    return Trial(energy=energy, gross_uj=curve.gross_uj, net_uj=curve.net_uj)


@dataclass(frozen=True, kw_only=True)
class Score:
    """Over many trials of one model. Errors are shares of the true gross energy of an inference.

    Attributes:
        median_error, p95_error: with the meter's own gain and zero error, as it states them.
        coverage: share of trials whose stated 95 % interval holds the truth.
        stated: median of half of that interval.
        voided: share of windows that were voided, though nothing was wrong with them.
    """

    meter: str
    runs: int
    median_error: float
    p95_error: float
    coverage: float
    net_coverage: float
    stated: float
    voided: float
    largest_part: str


def score(model: Model, runs: int, first_seed: int = 0) -> Score:
    trials = [trial(model, first_seed + number) for number in range(runs)]
    errors = np.abs([one.error for one in trials])
    stated = [one.energy.gross_uncertainty_uj / one.energy.gross_uj_per_inference for one in trials]
    parts = Counter(
        max(one.energy.uncertainty_parts_uj, key=lambda name: _gross_part(one.energy, name)) for one in trials
    )
    voided = sum(one.energy.windows_voided for one in trials)
    return Score(
        meter=model.name,
        runs=runs,
        median_error=float(np.median(errors)),
        p95_error=float(np.percentile(errors, 95)),
        coverage=float(np.mean([one.covered for one in trials])),
        net_coverage=float(np.mean([one.net_covered for one in trials])),
        stated=float(np.median(stated)),
        voided=voided / (runs * PLAN.energy_windows),
        largest_part=parts.most_common(1)[0][0],
    )


def _gross_part(energy: result_pb2.Energy, name: str) -> float:
    return -math.inf if name == "drift" else energy.uncertainty_parts_uj[name]
