from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_agent.energy.integrate import (
    Numbers,
    counter_step,
    energy_uj,
    lag_correction_uj,
    mean_mw,
    ordered,
    peak_mw,
    rails_mean_mw,
    rise_mw,
    trapezoid_uj,
)
from tests.unit.agent.energy.traces import SECOND, only, seconds, trace_from

UJ_PER_MW_S = 1000


@pytest.mark.parametrize("counter", [False, True])
@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (1.0, 3.0),
        # Edges between two readings.
        (1.0037, 2.9911),
        # A window shorter than a period.
        (1.001, 1.004),
    ],
)
def test_constant_power_is_power_times_time(begin: float, end: float, counter: bool) -> None:
    trace = trace_from(lambda _: 5000.0, 4, counter=counter)
    expected = 5000 * (end - begin) * UJ_PER_MW_S
    assert energy_uj(trace, seconds(begin, end)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("counter", [False, True])
def test_a_ramp_between_readings_is_exact(counter: bool) -> None:
    trace = trace_from(lambda at: 1000 * at, 4, counter=counter)
    # Integral of 1000 t from 1.003 to 2.517.
    expected = 500 * (2.517**2 - 1.003**2) * UJ_PER_MW_S
    # A counter's edges take power as constant between two readings.
    assert energy_uj(trace, seconds(1.003, 2.517)) == pytest.approx(expected, rel=1e-4 if counter else 1e-9)


@given(begin=st.floats(0.1, 2), length=st.floats(0.05, 2), cut=st.floats(0.1, 0.9), counter=st.booleans())
def test_the_parts_of_a_span_add_up(begin: float, length: float, cut: float, counter: bool) -> None:
    trace = trace_from(lambda at: 3000 + 1000 * np.sin(7 * at), 5, counter=counter)
    middle = begin + cut * length
    whole = energy_uj(trace, seconds(begin, begin + length))
    parts = energy_uj(trace, seconds(begin, middle)) + energy_uj(trace, seconds(middle, begin + length))
    assert parts == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("counter", [False, True])
def test_a_load_that_ends_with_the_window_does_not_lose_its_last_part(counter: bool) -> None:
    """Read once a second: interpolated towards the idle reading at 3, half of the last 0.5 s would go."""

    def load(at: Numbers) -> Numbers:
        return np.where(at <= 2.5, 9000.0, 1000.0)

    trace = trace_from(load, 6, rate_hz=1, counter=counter)
    window = seconds(0.2, 2.5)
    assert mean_mw(trace, window, hold_end=True) == pytest.approx(9000)
    assert mean_mw(trace, window, hold_end=False) < 8600


def test_a_lag_is_made_good_where_power_drifts() -> None:
    """Power rises by 500 mW/s; its readings are 0.43 s late, and so 215 mW too low."""
    lag_s = 0.43
    trace = trace_from(lambda at: 5000 + 500 * (at - lag_s), 12)
    window = seconds(1.5, 11.5)
    true_uj = (5000 * 10 + 250 * (11.5**2 - 1.5**2)) * UJ_PER_MW_S
    assert rise_mw(trace, window) == pytest.approx(5000, rel=1e-3)
    corrected = energy_uj(trace, window) + lag_correction_uj(trace, window, lag_s)
    assert corrected == pytest.approx(true_uj, rel=1e-4)


def test_two_readings_tell_of_no_rise() -> None:
    trace = trace_from(lambda at: 100 * at, 1, rate_hz=1)
    assert rise_mw(trace, seconds(0, 1)) == 0.0


@pytest.mark.parametrize("counter", [False, True])
def test_no_reading_is_no_energy(counter: bool) -> None:
    trace = trace_from(lambda _: 1.0, 2, counter=counter)
    nothing = only(trace, trace.monotonic_ns < 0)
    # Holding the end, readings after it do not count.
    late = only(trace, trace.monotonic_ns > SECOND)
    with pytest.raises(ValueError, match="no reading"):
        trapezoid_uj(nothing.monotonic_ns, nothing.total_mw, seconds(0, 1))
    with pytest.raises(ValueError, match="reading"):
        energy_uj(late, seconds(0, 1), hold_end=True)


def test_one_reading_of_a_counter_is_no_energy() -> None:
    trace = trace_from(lambda _: 1.0, 2, counter=True)
    one = only(trace, trace.monotonic_ns == SECOND)
    with pytest.raises(ValueError, match="fewer than two"):
        energy_uj(one, seconds(0, 2))


def test_what_is_no_number_and_what_goes_back_is_left_out() -> None:
    trace = trace_from(lambda _: 5000.0, 1, rate_hz=10)
    stamps, totals = trace.monotonic_ns.copy(), trace.total_mw.copy()
    stamps[4] = stamps[2]
    totals[6] = math.nan
    kept = ordered(replace(trace, monotonic_ns=stamps, total_mw=totals))
    assert kept.monotonic_ns.tolist() == [stamps[n] for n in range(11) if n not in (4, 6)]
    assert kept.rails_mw.shape == (9, 1)
    assert energy_uj(kept, seconds(0, 1)) == pytest.approx(5000 * UJ_PER_MW_S)


def test_an_empty_trace_can_be_ordered() -> None:
    trace = trace_from(lambda _: 1.0, 1)
    assert ordered(only(trace, trace.monotonic_ns < 0)).monotonic_ns.size == 0


def test_peak_and_rails_are_of_the_span_only() -> None:
    trace = trace_from(lambda at: 1000 * at, 4, rate_hz=10)
    rails = np.stack([trace.total_mw, np.full(trace.total_mw.size, np.nan)], axis=1)
    trace = replace(trace, rails_mw=rails)
    assert peak_mw(trace, seconds(1, 2)) == pytest.approx(2000)
    assert peak_mw(trace, seconds(7, 8)) is None
    assert rails_mean_mw(trace, seconds(1, 2)) == [pytest.approx(1500), None]


def test_the_step_of_a_counter_shows_where_it_stands_still() -> None:
    trace = trace_from(lambda _: 1.0, 10, rate_hz=10)
    # 500 uJ at once, every fifth reading.
    stepping = replace(trace, counter_uj=np.floor(np.arange(101) / 5) * 500)
    step = counter_step(stepping)
    assert step.step_uj == 500
    assert step.period_ns == pytest.approx(0.5 * SECOND)
    still = counter_step(replace(trace, counter_uj=np.zeros(101)))
    assert still.step_uj == 0
