"""From readings and windows to a variant's energy: pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgemeter_agent.energy.idle import SeenIdle, see_idle
from edgemeter_agent.energy.integrate import (
    UJ_PER_MW_NS,
    Span,
    counter_step,
    ordered,
    peak_mw,
    rails_mean_mw,
    within,
)
from edgemeter_agent.energy.trace import Trace
from edgemeter_agent.energy.uncertainty import (
    ALIGNMENT,
    DRIFT,
    EDGES,
    GAIN,
    OFFSET,
    REPEATS,
    RESOLUTION,
    Part,
    batch_means,
    half_width_95,
    repeats,
    resolution_mw,
)
from edgemeter_agent.energy.window_energy import WindowEnergy, window_energy
from edgemeter_agent.energy.windows import SECOND_NS, WindowPlan
from edgemeter_agent.meters import Description
from edgemeter_protos.v1 import device_pb2, result_pb2

TRAPEZOID, COUNTER = "trapezoid", "counter"

IDLE_DRIFT = "idle_drift"
IDLE_UNKNOWN = "idle_unknown"
IDLE_ONE_SIDED = "idle_one_sided"
WINDOWS_VOIDED = "energy_windows_voided"
ENERGY_UNCERTAIN = "energy_uncertain"

MAX_IDLE_DRIFT = 0.10
"""Of the idle power: net energy leans on idle having stayed what it was."""
MAX_UNCERTAINTY = 0.10
"""Half of the 95 % interval, of the energy."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """Back-to-back queries of one variant, as they were run."""

    span: Span
    queries: int
    samples: int
    void_reasons: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the meter saw of a job.

    Attributes:
        facts: as the board's facts have the meter, calibration included.
        idle_before: settled; None where there was no time for it, or no reading in it.
        alignment_ns: standard uncertainty of what a remote meter's stamps are off by.
        cpu_share: of one processor, that reading the meter took.
    """

    trace: Trace
    description: Description
    facts: device_pb2.MeterFacts
    idle_before: Span | None
    idle_after: Span | None
    alignment_ns: float = 0.0
    cpu_share: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A variant's energy, and (code, detail) of what makes it worth less than it could be."""

    energy: result_pb2.Energy
    degraded: tuple[tuple[str, str], ...] = ()


def summarize(
    seen: Seen,
    windows: Sequence[Window],
    plan: WindowPlan,
    planned: int,
    *,
    missing: tuple[str, str] | None = None,
) -> Summary:
    """Of one variant's windows in the order in which they were taken, `planned` of which were wanted;
    `missing` is the code and detail of why there are fewer. Windows that could not be taken count as voided.

    Fewer than half of them kept make the energy void; its numbers are then those of all windows that have
    any, to be looked at.
    """
    kept = [window for window in windows if not window.void_reasons]
    void = 2 * len(kept) < max(planned, 1)
    reasons = Counter(code for window in windows for code in window.void_reasons)
    not_taken = max(planned - len(windows), 0)
    if missing is not None and not_taken:
        reasons[missing[0]] += not_taken
    energy = result_pb2.Energy(
        status=result_pb2.ENERGY_STATUS_VOID if void else result_pb2.ENERGY_STATUS_MEASURED,
        meter=seen.facts,
        windows_kept=len(kept),
        windows_voided=len(windows) - len(kept) + not_taken,
        void_reasons=dict(reasons),
        sampler_cpu_share=seen.cpu_share,
    )
    kept_of = f"{len(kept)} of {planned} windows could be kept{_commonest(reasons)}"
    if missing is not None:
        kept_of += f"; {missing[1]}"
    if void:
        energy.detail = kept_of
    degraded = _add_numbers(energy, seen, kept or windows, plan)
    if not void and len(kept) < planned:
        degraded.append((WINDOWS_VOIDED, kept_of))
    return Summary(energy=energy, degraded=() if void else tuple(degraded))


def _commonest(reasons: Mapping[str, int]) -> str:
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return ": " + ", ".join(f"{code} voided {count}" for code, count in ordered) if ordered else ""


def _add_numbers(
    energy: result_pb2.Energy, seen: Seen, windows: Sequence[Window], plan: WindowPlan
) -> list[tuple[str, str]]:
    trace = ordered(seen.trace)
    idle = see_idle(trace, (seen.idle_before, seen.idle_after), _step_mw(seen, trace))
    usable: list[Window] = []
    taken: list[WindowEnergy] = []
    for window in windows:
        try:
            one = window_energy(
                trace,
                window.span,
                description=seen.description,
                plan=plan,
                idle=idle.mean if idle else None,
                alignment_ns=seen.alignment_ns,
            )
        except ValueError:
            continue  # a void window, without readings
        if window.samples:
            usable.append(window)
            taken.append(one)
    if not usable:
        return []
    per = _PerInference(seen, trace, usable, taken, idle)
    energy.method = COUNTER if trace.counter_uj.size else TRAPEZOID
    energy.lag_rule = plan.lag_rule
    per.fill(energy)
    if idle is None:
        return [(IDLE_UNKNOWN, "the idle board was not measured: there is no net energy")]
    return _doubts(energy, idle, _step_mw(seen, trace))


def _doubts(energy: result_pb2.Energy, idle: SeenIdle, step_mw: float) -> list[tuple[str, str]]:
    found = []
    if idle.drift_mw is None:
        found.append((IDLE_ONE_SIDED, "idle power is known from one side of the windows only"))
    elif abs(idle.drift_mw) > MAX_IDLE_DRIFT * abs(idle.mean.power_mw) + 3 * step_mw:
        before, after = energy.idle_before_mw, energy.idle_after_mw
        found.append((IDLE_DRIFT, f"the idle board took {before:.0f} mW before and {after:.0f} mW after"))
    if energy.gross_uncertainty_uj > MAX_UNCERTAINTY * abs(energy.gross_uj_per_inference):
        share = energy.gross_uncertainty_uj / max(abs(energy.gross_uj_per_inference), 1e-12)
        found.append((ENERGY_UNCERTAIN, f"energy is known within ±{share:.0%} only"))
    return found


def _step_mw(seen: Seen, trace: Trace) -> float:
    """Steps of power mean nothing where energy is counted."""
    return 0.0 if trace.counter_uj.size else seen.description.resolution_mw


class _PerInference:
    """Sums over the windows, divided by inferences."""

    def __init__(
        self,
        seen: Seen,
        trace: Trace,
        windows: Sequence[Window],
        taken: Sequence[WindowEnergy],
        idle: SeenIdle | None,
    ) -> None:
        self._seen, self._trace, self._windows, self._taken, self._idle = seen, trace, windows, taken, idle
        self._readings = [within(trace, window.span).total_mw for window in windows]
        self._samples = [window.samples for window in windows]
        self._inferences = sum(self._samples)
        self._duration_ns = sum(window.span.duration_ns for window in windows)
        self._energies = [one.energy_uj for one in taken]
        self._gross = sum(self._energies) / self._inferences
        idle_mw = idle.mean.power_mw if idle else 0.0
        self._net_energies = [
            one.energy_uj - idle_mw * window.span.duration_ns * UJ_PER_MW_NS
            for one, window in zip(taken, windows, strict=True)
        ]
        self._net = sum(self._net_energies) / self._inferences

    def fill(self, energy: result_pb2.Energy) -> None:
        """Net stays 0 where idle is not known: there is a reason beside it then."""
        seen, idle = self._seen, self._idle
        gross_parts = self._gross_parts()
        energy.gross_uj_per_inference = self._gross
        energy.gross_uncertainty_uj = half_width_95(gross_parts)
        energy.mean_power_mw = sum(self._energies) / (self._duration_ns * UJ_PER_MW_NS)
        peaks = [peak_mw(self._trace, window.span) for window in self._windows]
        energy.peak_power_mw = max((peak for peak in peaks if peak is not None), default=0.0)
        energy.energy_delay_uj_s = self._gross * self._duration_ns / self._inferences / SECOND_NS
        energy.inferences = self._inferences
        energy.windows_duration_ns = self._duration_ns
        energy.achieved_rate_hz = sum(part.size for part in self._readings) / self._duration_ns * SECOND_NS
        for rail, mean in zip(seen.description.rails, self._rails(), strict=True):
            if mean is not None:
                energy.rails.add(name=rail.name, mean_mw=mean, in_total=rail.in_total)
        parts = dict(gross_parts)
        if idle is not None:
            net_parts = self._net_parts(gross_parts, idle)
            energy.net_uj_per_inference = self._net
            energy.net_uncertainty_uj = half_width_95(net_parts)
            energy.idle_before_mw = idle.before_mw or 0.0
            energy.idle_after_mw = idle.after_mw or 0.0
            parts[DRIFT] = net_parts[DRIFT]
        for name, part in parts.items():
            energy.uncertainty_parts_uj[name] = part.u

    def _rails(self) -> list[float | None]:
        """Means over the windows, by their durations."""
        sums = [0.0] * len(self._seen.description.rails)
        weights = [0] * len(sums)
        for window in self._windows:
            for index, mean in enumerate(rails_mean_mw(self._trace, window.span)):
                if mean is not None:
                    sums[index] += mean * window.span.duration_ns
                    weights[index] += window.span.duration_ns
        return [total / weight if weight else None for total, weight in zip(sums, weights, strict=True)]

    def _gross_parts(self) -> dict[str, Part]:
        description = self._seen.description
        mw_to_uj = self._duration_ns / self._inferences * UJ_PER_MW_NS
        return {
            GAIN: Part(description.gain_error * abs(self._gross)),
            OFFSET: Part(description.offset_error_mw * mw_to_uj),
            RESOLUTION: Part(self._resolution(mw_to_uj)),
            EDGES: Part(sum(one.edges_uj for one in self._taken) / self._inferences),
            ALIGNMENT: Part(sum(one.alignment_uj for one in self._taken) / self._inferences),
            REPEATS: self._repeats(self._energies),
        }

    def _net_parts(self, gross: dict[str, Part], idle: SeenIdle) -> dict[str, Part]:
        """Gain errs by a share of the difference, the zero cancels out of it, and what idle is not known by
        is added as "drift"."""
        mw_to_uj = self._duration_ns / self._inferences * UJ_PER_MW_NS
        return {
            GAIN: Part(self._seen.description.gain_error * abs(self._net)),
            RESOLUTION: gross[RESOLUTION],
            EDGES: gross[EDGES],
            ALIGNMENT: gross[ALIGNMENT],
            REPEATS: self._repeats(self._net_energies),
            DRIFT: Part(idle.mean.u_mw * mw_to_uj),
        }

    def _resolution(self, mw_to_uj: float) -> float:
        if self._trace.counter_uj.size:
            # Each end of a window falls anywhere within a step of the counter.
            return (
                counter_step(self._trace).step_uj
                / math.sqrt(6)
                * math.sqrt(len(self._windows))
                / self._inferences
            )
        return resolution_mw(_step_mw(self._seen, self._trace), self._readings) * mw_to_uj

    def _repeats(self, energies: Sequence[float]) -> Part:
        """Of a single window its own pieces tell, and nothing is known of how windows differ."""
        if len(energies) > 1:
            return repeats(energies, self._samples)
        part = batch_means(self._readings[0])
        return Part(part.u * self._duration_ns * UJ_PER_MW_NS / self._inferences, part.freedom)
