"""Each thing that can be wrong with readings voids by its name, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgemeter_agent.energy.integrate import Span
from edgemeter_agent.energy.judge import (
    METER_CLOCK,
    METER_COVERAGE,
    METER_FEW_READINGS,
    METER_GAP,
    METER_IMPOSSIBLE,
    METER_JUMPED_BACK,
    METER_STUCK,
    Watched,
    judge_window,
)
from edgemeter_agent.energy.trace import Trace
from edgemeter_agent.meters import BOARD, WALL
from tests.unit.agent.energy.traces import SECOND, meter, only, seconds, trace_from, with_totals, without

IDLE_BEFORE, IDLE_AFTER = seconds(0, 10), seconds(45, 55)
WINDOWS = (seconds(12, 22), seconds(23, 33), seconds(34, 44))
WINDOW = WINDOWS[1]
STEP_MW = 40.0
METER = meter(resolution_mw=STEP_MW, coverage=BOARD)


def power(noise_mw: float, rate_hz: float = 50.0) -> Trace:
    """4 W idle, 9 W from 11 to 44 s, in steps of 40 mW."""
    random = np.random.default_rng(0)

    def at(times: Any) -> Any:
        level = np.where((times > 11) & (times <= 44), 9000.0, 4000.0)
        return np.round((level + random.normal(0, noise_mw, times.size)) / STEP_MW) * STEP_MW

    return trace_from(at, 55, rate_hz)


def watched(trace: Trace, **changed: Any) -> Watched:
    seen = Watched(
        trace=trace,
        description=METER,
        collected=seconds(0, 55),
        idle=(IDLE_BEFORE, IDLE_AFTER),
        windows=WINDOWS,
    )
    return replace(seen, **changed)


NOISY, QUIET = power(200.0), power(0.0)


@pytest.mark.parametrize("trace", [NOISY, QUIET, power(30.0)], ids=["noisy", "quiet", "some noise"])
def test_good_readings_are_kept(trace: Trace) -> None:
    for window in WINDOWS:
        assert judge_window(watched(trace), window) == ()


def with_fault(trace: Trace, every: int) -> Trace:
    """Every so many readings, one without a number."""
    lost = np.arange(trace.monotonic_ns.size) % every == 0
    faults = tuple((int(at), "EAGAIN") for at in trace.monotonic_ns[lost])
    return replace(only(trace, ~lost), faults=faults)


def with_faults_but(trace: Trace, every: int) -> Trace:
    """Only one of so many has a number."""
    good = np.arange(trace.monotonic_ns.size) % every == 0
    faults = tuple((int(at), "ENODATA") for at in trace.monotonic_ns[~good])
    return replace(only(trace, good), faults=faults)


def with_total(trace: Trace, at_s: float, total_mw: float) -> Trace:
    totals = trace.total_mw.copy()
    totals[int(at_s * 50)] = total_mw
    return with_totals(trace, totals)


def jump_back(trace: Trace) -> Trace:
    """From 28 s on, its stamps are 3 s too small."""
    stamps = trace.monotonic_ns.copy()
    stamps[stamps >= 28 * SECOND] -= 3 * SECOND
    return replace(trace, monotonic_ns=stamps)


def frozen(trace: Trace, span: Span) -> Trace:
    """Shows what it showed when the span began."""
    totals = trace.total_mw.copy()
    inside = (trace.monotonic_ns >= span.begin_ns) & (trace.monotonic_ns <= span.end_ns)
    totals[inside] = totals[inside][0]
    return with_totals(trace, totals)


@pytest.mark.parametrize(
    ("spoilt", "codes"),
    [
        # Five periods are 0.1 s.
        (without(NOISY, seconds(25.01, 25.09)), ()),
        (without(NOISY, seconds(25.01, 25.11)), (METER_GAP,)),
        # At the window's begin, at its end, and all around it.
        (without(NOISY, seconds(22.5, 24.2)), (METER_GAP, METER_COVERAGE)),
        (without(NOISY, seconds(32.5, 34)), (METER_GAP,)),
        (without(NOISY, seconds(22.5, 33.5)), (METER_FEW_READINGS,)),
        # Every fifth reading is lost to a fault; three of four, with 80 ms between the others.
        (with_fault(NOISY, 5), ()),
        (with_faults_but(NOISY, 4), (METER_COVERAGE,)),
        (with_total(NOISY, 25, float("nan")), (METER_IMPOSSIBLE,)),
        (with_total(NOISY, 25, -500.0), (METER_IMPOSSIBLE,)),
        (with_total(NOISY, 25, -100.0), ()),
        (with_total(NOISY, 25, 2e6), (METER_IMPOSSIBLE,)),
        # In another window.
        (with_total(NOISY, 15, 2e6), ()),
        (jump_back(NOISY), (METER_JUMPED_BACK,)),
        # Frozen for a second; for the rest of the window; until after the end; from before the begin.
        (frozen(NOISY, seconds(25, 26.5)), (METER_STUCK,)),
        (frozen(NOISY, seconds(28, 33.5)), (METER_STUCK,)),
        (frozen(NOISY, seconds(28, 55)), (METER_STUCK,)),
        (frozen(QUIET, seconds(28, 55)), (METER_STUCK,)),
        (frozen(QUIET, seconds(5, 28)), (METER_STUCK,)),
        # A quiet rail that rests on a step may do so.
        (frozen(QUIET, seconds(25, 30)), ()),
        (frozen(power(30.0), seconds(25, 25.5)), ()),
        # Twelve readings in a row of a noisy meter are luck.
        (frozen(NOISY, seconds(25, 25.2)), ()),
    ],
)
def test_what_is_wrong_is_named(spoilt: Trace, codes: tuple[str, ...]) -> None:
    assert judge_window(watched(spoilt), WINDOW) == codes


def test_a_meter_that_sees_no_load_is_stuck() -> None:
    assert METER_STUCK in judge_window(watched(trace_from(lambda _: 4000.0, 55)), WINDOW)


def test_a_meter_slower_than_it_is_read_is_not_stuck() -> None:
    """Read 50 times a second, measuring once."""
    once_a_second = NOISY.total_mw[::50].repeat(50)[: NOISY.total_mw.size]
    assert judge_window(watched(with_totals(NOISY, once_a_second)), WINDOW) == ()


def test_a_counter_that_stands_still_is_stuck_and_one_that_falls_has_jumped_back() -> None:
    counting = replace(NOISY, counter_uj=np.cumsum(NOISY.total_mw) * 20)
    seen = watched(counting)
    assert judge_window(seen, WINDOW) == ()
    still = counting.counter_uj.copy()
    still[28 * 50 :] = still[28 * 50]
    assert METER_STUCK in judge_window(watched(replace(counting, counter_uj=still)), WINDOW)
    fallen = counting.counter_uj.copy()
    fallen[28 * 50 :] -= 5e6
    assert METER_JUMPED_BACK in judge_window(watched(replace(counting, counter_uj=fallen)), WINDOW)


def test_a_meter_that_went_away_is_named_by_its_own_code() -> None:
    ended = only(NOISY, NOISY.monotonic_ns < 28 * SECOND)
    seen = watched(ended, gone="meter_gone")
    assert judge_window(seen, WINDOWS[0]) == ()
    assert judge_window(seen, WINDOWS[1]) == ("meter_gone",)
    assert judge_window(seen, WINDOWS[2]) == ("meter_gone",)
    assert judge_window(watched(ended), WINDOWS[2]) == (METER_FEW_READINGS,)


@pytest.mark.parametrize("shift_s", [1_700_000_000, -60])
def test_stamps_of_another_clock_are_named(shift_s: int) -> None:
    """CLOCK_REALTIME, or a clock that began with the meter."""
    elsewhere = replace(NOISY, monotonic_ns=NOISY.monotonic_ns + shift_s * SECOND)
    assert judge_window(watched(elsewhere), WINDOW) == (METER_CLOCK,)


def test_a_meter_slower_than_promised_keeps_its_own_pace() -> None:
    """Asked for 50 readings a second, and gives 5."""
    assert judge_window(watched(power(200.0, rate_hz=5.0)), WINDOW) == ()


def test_nothing_was_read_at_all() -> None:
    nothing = only(NOISY, NOISY.monotonic_ns < 0)
    assert judge_window(watched(nothing), WINDOW) == (METER_FEW_READINGS,)
    assert judge_window(watched(nothing, gone="meter_forbidden"), WINDOW) == ("meter_forbidden",)


@pytest.mark.parametrize(("coverage", "codes"), [(BOARD, (METER_IMPOSSIBLE,)), (WALL, ())])
def test_what_is_impossible_depends_on_what_is_measured(coverage: str, codes: tuple[str, ...]) -> None:
    spoilt = with_total(NOISY, 25, 1_500_000.0)
    assert judge_window(watched(spoilt, description=replace(METER, coverage=coverage)), WINDOW) == codes


def test_an_unknown_zero_lets_readings_go_below_it() -> None:
    spoilt = with_total(NOISY, 25, -392.0)
    assert judge_window(watched(spoilt), WINDOW) == (METER_IMPOSSIBLE,)
    offset = replace(METER, offset_error_mw=100.0)
    assert judge_window(watched(spoilt, description=offset), WINDOW) == ()


def test_runs_by_chance_hardly_ever_void() -> None:
    """A thousand windows of noise that often repeats a reading."""
    voided = 0
    for seed in range(300):
        random = np.random.default_rng(seed)
        totals = np.round(random.normal(9000, 120, NOISY.total_mw.size) / STEP_MW) * STEP_MW
        idle = (NOISY.monotonic_ns < 11 * SECOND) | (NOISY.monotonic_ns > 44 * SECOND)
        trace = with_totals(NOISY, np.where(idle, totals - 5000, totals))
        voided += sum(bool(judge_window(watched(trace), window)) for window in WINDOWS)
    assert voided == 0
