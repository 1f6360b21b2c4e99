"""Whether the readings of a window can be believed: a pure function of the trace around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgemeter_agent.energy.integrate import Span, within
from edgemeter_agent.energy.trace import Trace
from edgemeter_agent.energy.windows import period_ns, settle_ns
from edgemeter_agent.meters import BOARD, MODULE, PACKAGE, WALL, Description

METER_GONE = "meter_gone"
METER_CLOCK = "meter_clock"
METER_JUMPED_BACK = "meter_jumped_back"
METER_FEW_READINGS = "meter_few_readings"
METER_GAP = "meter_gap"
METER_COVERAGE = "meter_coverage"
METER_IMPOSSIBLE = "meter_impossible"
METER_STUCK = "meter_stuck"

MAX_GAP_PERIODS = 5
"""Of the meter's own pace."""
MAX_GAP_SHARE = 0.005
"""Of the window: a shorter gap can't move its energy by more, however fast the meter is."""
COVERED_PERIODS = 2.5
"""Between two readings that are no farther apart, nothing is missing. A reading or two late is a busy
board."""
COVERED_SHARE = 0.001
"""Of the window, likewise."""
MIN_COVERAGE = 0.90
"""Share of the window that must be covered so."""
MIN_READINGS = 10
"""Half of what a window is planned for."""
MAX_CLOCK_ERROR_NS = 1_000_000_000
"""A reading can't be from before the meter was opened, or from after it was closed."""
MAX_POWER_MW = {MODULE: 500e3, BOARD: 1000e3, PACKAGE: 1000e3, WALL: 4000e3}
"""The largest modules take 130 W (Jetson Thor), a household socket gives 16 A at 230 V. Others: 1 kW."""
MIN_REVERSALS = 10
"""That tell of a meter's noise."""
MIN_NOISY_SHARE = 0.25
"""Of the runs of equal readings: of white noise, two of three moves go against the one before. A load with
phases of its own does so now and then only."""
CHANCE_RUN = 10
"""A run of equal readings is longer than chance makes it with a probability of exp(-10)."""


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What windows are judged against.

    Attributes:
        collected: from opening the meter to closing it, or to now.
        idle: spans in which nothing computed, as far as they were taken already.
        windows: every window of every variant, for what this meter's readings are usually like.
        gone: code of the MeterError that ended the readings; empty where none did.
    """

    trace: Trace
    description: Description
    collected: Span
    idle: Sequence[Span]
    windows: Sequence[Span]
    gone: str = ""


def judge_window(watched: Watched, span: Span) -> tuple[str, ...]:
    """Reason codes for which the window is void, in a fixed order; empty for a window to keep.

    Where the meter went away, its own code ("meter_gone", "meter_rubbish") takes the place of the gap that it
    left; likewise `METER_CLOCK` for readings of another clock.
    """
    part = within(watched.trace, span)
    missing = _missing(watched, span, part)
    found = {
        METER_JUMPED_BACK: _jumped_back(watched.trace, span),
        METER_IMPOSSIBLE: _impossible(part, watched.description),
        METER_STUCK: _stuck(watched, span),
    }
    return tuple(missing) + tuple(code for code, is_so in found.items() if is_so)


def own_period_ns(trace: Trace, description: Description) -> float:
    """The pace that the meter really keeps, readings without numbers included: a meter that is slower than
    it was asked to be has no gaps for that."""
    stamps = np.concatenate((trace.monotonic_ns, np.array([at for at, _ in trace.faults], np.int64)))
    if stamps.size < 3:
        return period_ns(description)
    return max(period_ns(description), float(np.median(np.diff(np.sort(stamps)))))


def _missing(watched: Watched, span: Span, part: Trace) -> list[str]:
    trace = watched.trace
    last_ns = int(trace.monotonic_ns.max()) if trace.monotonic_ns.size else watched.collected.begin_ns
    period = own_period_ns(trace, watched.description)
    count = part.monotonic_ns.size
    apart = _intervals_ns(part.monotonic_ns, span)
    duration = max(span.duration_ns, 1)
    close = apart <= max(COVERED_PERIODS * period, COVERED_SHARE * duration)
    codes = [
        code
        for code, is_so in (
            (METER_FEW_READINGS, count < MIN_READINGS),
            (METER_GAP, apart.max() > max(MAX_GAP_PERIODS * period, MAX_GAP_SHARE * duration)),
            (METER_COVERAGE, float(apart[close].sum()) / duration < MIN_COVERAGE),
        )
        if is_so
    ]
    if not codes:
        return []
    if watched.gone and last_ns < span.end_ns:
        return [watched.gone]
    if _of_another_clock(trace.monotonic_ns, watched.collected):
        return [METER_CLOCK]
    # Too few leave gaps by themselves.
    return codes[:1] if codes[0] == METER_FEW_READINGS else codes


def _intervals_ns(stamps: npt.NDArray[np.int64], span: Span) -> npt.NDArray[np.int64]:
    """Edges count: no reading for the first half of a window is a gap."""
    intervals: npt.NDArray[np.int64] = np.diff(
        np.concatenate(([span.begin_ns], np.sort(stamps), [span.end_ns]))
    )
    return intervals


def _of_another_clock(stamps: npt.NDArray[np.int64], collected: Span) -> bool:
    early = stamps < collected.begin_ns - MAX_CLOCK_ERROR_NS
    late = stamps > collected.end_ns + MAX_CLOCK_ERROR_NS
    return bool(stamps.size) and float(np.mean(early | late)) > 0.5


def _jumped_back(trace: Trace, span: Span) -> bool:
    """A stamp, or the counter, that fell from one reading to the next, at least one of them in the window."""
    stamps = trace.monotonic_ns
    fell = np.diff(stamps) < 0
    if trace.counter_uj.size:
        fell = fell | (np.diff(trace.counter_uj) < 0)
    inside = (stamps >= span.begin_ns) & (stamps <= span.end_ns)
    return bool(np.any(fell & (inside[:-1] | inside[1:])))


def _impossible(part: Trace, description: Description) -> bool:
    """No number, more than anything of this coverage takes, or below zero by more than its zero may be off:
    four standard uncertainties, and three steps."""
    powers = part.total_mw
    lowest = -4 * description.offset_error_mw - 3 * description.resolution_mw
    highest = MAX_POWER_MW.get(description.coverage, 1000e3)
    if not np.isfinite(powers).all():
        return True
    return bool(np.any((powers < lowest) | (powers > highest)))


def _stuck(watched: Watched, span: Span) -> bool:
    """A meter that froze, and not one that is slower than it is read, or whose steps hide a quiet load."""
    return _asleep_through_idle(watched, span) or _longer_than_chance(watched, span)


def _asleep_through_idle(watched: Watched, span: Span) -> bool:
    """A run of equal readings fills a fifth of the window, and also lasts through idle time in which the
    meter had long settled. As far as this meter has steps to tell, an idle board and a busy one take the
    same: then its readings say nothing of the load."""
    runs = _runs(watched.trace)
    settled_ns = settle_ns(watched.description)
    idle_ns = np.zeros(runs.begin_ns.size, np.int64)
    for idle in watched.idle:
        idle_ns = np.maximum(idle_ns, _overlaps_ns(runs, idle))
    return bool(np.any((5 * _overlaps_ns(runs, span) >= span.duration_ns) & (idle_ns > settled_ns)))


def _longer_than_chance(watched: Watched, span: Span) -> bool:
    """The longest run of equal readings in the window is longer than chance makes it.

    With a mean run of L readings under load, and R runs, the longest is about L * ln R, where a run ends with
    probability 1 / L at each reading; one that is longer by 10 L has a probability of exp(-10). L is what
    tells a meter that is read faster than it measures. A meter whose value moves by single steps, if at all,
    may rest on one for as long as the load is quiet: nothing is concluded from that.
    """
    own = _runs(within(watched.trace, span)).readings
    parts = [within(watched.trace, each) for each in watched.windows]
    lengths = np.sort(np.concatenate([_runs(part).readings for part in parts] or [own]))
    noise = np.concatenate([_reversals_mw(part.total_mw) for part in parts] or [np.zeros(0)])
    if not own.size or noise.size < max(MIN_REVERSALS, MIN_NOISY_SHARE * lengths.size):
        return False
    if np.median(noise) < 2 * watched.description.resolution_mw:
        return False
    longest = int(own.max())
    # The one in question says nothing of what is usual.
    others = np.delete(lengths, min(int(np.searchsorted(lengths, longest)), lengths.size - 1))
    if not others.size:
        return False
    return longest > float(others.mean()) * (math.log(others.size) + CHANCE_RUN)


def _reversals_mw(powers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Sizes of the moves that went against the one before: noise does so, and a load that sets in does
    not."""
    moves = np.diff(powers)
    moves = moves[moves != 0]
    sizes: npt.NDArray[np.float64] = np.abs(moves[1:][moves[1:] * moves[:-1] < 0])
    return sizes


@dataclass(frozen=True, kw_only=True)
class _Runs:
    """Readings in a row that are equal in everything: arrays with one element a run."""

    begin_ns: npt.NDArray[np.int64]
    end_ns: npt.NDArray[np.int64]
    readings: npt.NDArray[np.int64]


def _runs(trace: Trace) -> _Runs:
    stamps = trace.monotonic_ns
    if trace.counter_uj.size:
        changed = np.diff(trace.counter_uj) != 0
    else:
        rails = np.nan_to_num(trace.rails_mw)
        changed = (np.diff(trace.total_mw) != 0) | np.any(np.diff(rails, axis=0) != 0, axis=1)
    starts = np.concatenate((np.zeros(min(stamps.size, 1), np.int64), np.flatnonzero(changed) + 1))
    ends = np.concatenate((starts[1:], np.full(min(stamps.size, 1), stamps.size, np.int64))) - 1
    return _Runs(begin_ns=stamps[starts], end_ns=stamps[ends], readings=ends - starts + 1)


def _overlaps_ns(runs: _Runs, span: Span) -> npt.NDArray[np.int64]:
    ends, begins = np.minimum(runs.end_ns, span.end_ns), np.maximum(runs.begin_ns, span.begin_ns)
    overlaps: npt.NDArray[np.int64] = np.maximum(ends - begins, 0)
    return overlaps
