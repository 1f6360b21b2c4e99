"""Energy of a span of time from what a meter said: pure functions on numpy arrays.

Power in mW times time in ns is 1e-6 uJ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgemeter_agent.energy.trace import Trace

UJ_PER_MW_NS = 1e-6

Stamps = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Span:
    """From `begin_ns` to `end_ns`, both of CLOCK_MONOTONIC."""

    begin_ns: int
    end_ns: int

    @property
    def duration_ns(self) -> int:
        return self.end_ns - self.begin_ns


def within(trace: Trace, span: Span) -> Trace:
    """The readings and faults whose stamps lie in the span, its ends included."""
    inside = (trace.monotonic_ns >= span.begin_ns) & (trace.monotonic_ns <= span.end_ns)
    return Trace(
        monotonic_ns=trace.monotonic_ns[inside],
        total_mw=trace.total_mw[inside],
        rails_mw=trace.rails_mw[inside],
        counter_uj=trace.counter_uj[inside] if trace.counter_uj.size else trace.counter_uj,
        faults=tuple(fault for fault in trace.faults if span.begin_ns <= fault[0] <= span.end_ns),
    )


def ordered(trace: Trace) -> Trace:
    """Without the readings that are no number or whose stamps do not rise: what can be integrated."""
    # An empty array has no running maximum.
    finite = np.isfinite(trace.total_mw)
    stamps = np.where(finite, trace.monotonic_ns, np.iinfo(np.int64).min)
    rising = finite.copy()
    rising[1:] &= stamps[1:] > np.maximum.accumulate(stamps)[:-1]
    return Trace(
        monotonic_ns=trace.monotonic_ns[rising],
        total_mw=trace.total_mw[rising],
        rails_mw=trace.rails_mw[rising],
        counter_uj=trace.counter_uj[rising] if trace.counter_uj.size else trace.counter_uj,
        faults=trace.faults,
    )


def trapezoid_uj(stamps: Stamps, power_mw: Numbers, span: Span, *, hold_end: bool = False) -> float:
    """The trapezoidal rule over the readings in the span, with edges interpolated between the readings on
    either side; beyond the first and the last reading, that reading is held.

    `hold_end` holds the last reading within the span to its end. Where a load ends with the span, the next
    reading is one of the idle board: interpolated, it would take ΔP * period / 6 from the energy on average.

    Raises ValueError where no reading helps to tell.
    """
    stamps, power_mw = _usable(stamps, power_mw, span, hold_end)
    since = (stamps - span.begin_ns).astype(np.float64)
    inside = (since > 0) & (since < span.duration_ns)
    at = np.concatenate(([0.0], since[inside], [float(span.duration_ns)]))
    power = np.interp(at, since, power_mw)
    return float(np.sum((power[1:] + power[:-1]) / 2 * np.diff(at))) * UJ_PER_MW_NS


def counter_uj(stamps: Stamps, energy_uj: Numbers, span: Span, *, hold_end: bool = False) -> float:
    """The rise of an energy counter over the span, interpolated between its readings: between two of them
    power is taken to be constant.

    With `hold_end`, what lies behind the last reading within the span goes on at the span's mean power. The
    same holds before the first reading of all. Raises ValueError for fewer than two readings.
    """
    stamps, energy_uj = _usable(stamps, energy_uj, span, hold_end)
    first, last = max(int(stamps[0]), span.begin_ns), min(int(stamps[-1]), span.end_ns)
    if last <= first:
        raise ValueError("fewer than two readings of the counter lie about the span")
    since = (stamps - span.begin_ns).astype(np.float64)
    at = np.array([first - span.begin_ns, last - span.begin_ns], np.float64)
    begin_uj, end_uj = np.interp(at, since, energy_uj)
    return float(end_uj - begin_uj) * span.duration_ns / (last - first)


def _usable(stamps: Stamps, values: Numbers, span: Span, hold_end: bool) -> tuple[Stamps, Numbers]:
    if hold_end:
        before_end = stamps <= span.end_ns
        stamps, values = stamps[before_end], values[before_end]
    if not stamps.size:
        raise ValueError("no reading lies about the span")
    return stamps, values


def energy_uj(trace: Trace, span: Span, *, hold_end: bool = False) -> float:
    """By the counter where the trace has one, else by the trapezoidal rule; in uJ. The trace must be
    `ordered`. Raises ValueError where too few readings lie about the span."""
    if trace.counter_uj.size:
        return counter_uj(trace.monotonic_ns, trace.counter_uj, span, hold_end=hold_end)
    return trapezoid_uj(trace.monotonic_ns, trace.total_mw, span, hold_end=hold_end)


def mean_mw(trace: Trace, span: Span, *, hold_end: bool = True) -> float:
    """Energy over duration. Raises ValueError where too few readings lie about the span."""
    return energy_uj(trace, span, hold_end=hold_end) / (span.duration_ns * UJ_PER_MW_NS)


def peak_mw(trace: Trace, span: Span) -> float | None:
    """The highest reading in the span; None where there is none."""
    powers = within(trace, span).total_mw
    finite = powers[np.isfinite(powers)]
    return float(finite.max()) if finite.size else None


def rails_mean_mw(trace: Trace, span: Span) -> list[float | None]:
    """Of each rail, over the readings in the span that have it; None where none has."""
    rails = within(trace, span).rails_mw
    means: list[float | None] = []
    for column in rails.T:
        known = column[np.isfinite(column)]
        means.append(float(known.mean()) if known.size else None)
    return means


def rise_mw(trace: Trace, span: Span) -> float:
    """By how much power rose from the span's begin to its end: the least-squares line through its readings,
    which one noisy reading does not move. 0 for fewer than three."""
    part = within(trace, span)
    if part.total_mw.size < 3:
        return 0.0
    at = (part.monotonic_ns - span.begin_ns).astype(np.float64) / span.duration_ns
    at -= at.mean()
    spread = float(np.sum(at * at))
    return float(np.sum(at * part.total_mw)) / spread if spread > 0 else 0.0


def lag_correction_uj(trace: Trace, span: Span, lag_s: float) -> float:
    """What a first-order lag left out of a span in which power drifted.

    The filter tau * y' = p - y gives, integrated, E = ∫ y dt + tau * (y(end) - y(begin)): readings lie by
    tau behind the power, so where power rises by D over the span, tau * D is missing.
    """
    return lag_s * 1e9 * rise_mw(trace, span) * UJ_PER_MW_NS


@dataclass(frozen=True, kw_only=True)
class CounterStep:
    """How finely a counter counts.

    Attributes:
        step_uj: the smallest rise that was seen; 0 where none was.
        period_ns: time between two changes of its value, as far as the readings can tell.
    """

    step_uj: float
    period_ns: float


def counter_step(trace: Trace) -> CounterStep:
    """From the readings themselves. A counter that stands still between some readings shows its step; one
    that rises at each is only known to step at least as often as it is read."""
    rises = np.diff(trace.counter_uj)
    periods = np.diff(trace.monotonic_ns)
    positive = rises > 0
    if not positive.any():
        return CounterStep(step_uj=0.0, period_ns=0.0)
    return CounterStep(
        step_uj=float(rises[positive].min()),
        period_ns=float(np.median(periods)) * rises.size / int(np.count_nonzero(positive)),
    )
