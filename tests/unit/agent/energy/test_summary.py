from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgemeter_agent.energy.summary import (
    ENERGY_UNCERTAIN,
    IDLE_DRIFT,
    IDLE_ONE_SIDED,
    IDLE_UNKNOWN,
    WINDOWS_VOIDED,
    Seen,
    Summary,
    Window,
    summarize,
)
from edgemeter_agent.energy.trace import Trace
from edgemeter_agent.energy.windows import EXTENDED, INTERIOR, NO_LAG, WindowPlan
from edgemeter_agent.meters import Description, Rail
from edgemeter_protos.v1 import device_pb2, result_pb2
from tests.simulated_board.curves import first_order
from tests.unit.agent.energy.traces import METER, SECOND, meter, seconds, trace_from, with_totals

IDLE_BEFORE, IDLE_AFTER = seconds(0, 10), seconds(50, 60)
SPANS = (seconds(14, 24), seconds(26, 36), seconds(38, 48))
PLAN = WindowPlan(
    lag_rule=NO_LAG, duration_ns=10 * SECOND, warmup_ns=SECOND, settle_ns=SECOND, idle_ns=10 * SECOND
)


def load(at: Any) -> Any:
    """4 W idle, 10 W from a second before each window to its end."""
    busy = np.zeros_like(at, dtype=bool)
    for span in SPANS:
        busy |= (at >= span.begin_ns / SECOND - 1) & (at <= span.end_ns / SECOND)
    return np.where(busy, 10_000.0, 4_000.0)


def windows(*reasons: tuple[str, ...], samples: int = 500) -> list[Window]:
    reasons = reasons or ((), (), ())
    return [
        Window(span=span, queries=samples, samples=samples, void_reasons=own)
        for span, own in zip(SPANS, reasons, strict=True)
    ]


def seen(trace: Trace, description: Description = METER, **changed: Any) -> Seen:
    whole = Seen(
        trace=trace,
        description=description,
        facts=device_pb2.MeterFacts(name=description.name),
        idle_before=IDLE_BEFORE,
        idle_after=IDLE_AFTER,
        cpu_share=0.01,
    )
    return replace(whole, **changed)


def codes(summary: Summary) -> list[str]:
    return [code for code, _ in summary.degraded]


@pytest.mark.parametrize("counter", [False, True])
def test_every_number_of_a_plain_measurement(counter: bool) -> None:
    trace = trace_from(load, 60, counter=counter)
    description = meter(has_counter=counter)
    summary = summarize(seen(trace, description), windows(), PLAN, 3)
    energy = summary.energy
    assert energy.status == result_pb2.ENERGY_STATUS_MEASURED
    assert energy.detail == ""
    assert energy.meter.name == "bench"
    assert energy.method == ("counter" if counter else "trapezoid")
    assert energy.lag_rule == ""
    # 10 W for 10 s over 500 inferences: 200 mJ each, of which 80 are idle's.
    assert energy.gross_uj_per_inference == pytest.approx(200_000, rel=1e-3)
    assert energy.net_uj_per_inference == pytest.approx(120_000, rel=1e-3)
    assert energy.mean_power_mw == pytest.approx(10_000, rel=1e-3)
    assert energy.peak_power_mw == 10_000
    assert energy.idle_before_mw == pytest.approx(4000)
    assert energy.idle_after_mw == pytest.approx(4000)
    # An inference takes 20 ms.
    assert energy.energy_delay_uj_s == pytest.approx(200_000 * 0.02, rel=1e-3)
    assert (energy.windows_kept, energy.windows_voided, dict(energy.void_reasons)) == (3, 0, {})
    assert energy.inferences == 1500
    assert energy.windows_duration_ns == 30 * SECOND
    assert energy.achieved_rate_hz == pytest.approx(50, rel=0.01)
    assert [(rail.name, rail.in_total) for rail in energy.rails] == [("total", True)]
    assert energy.rails[0].mean_mw == pytest.approx(10_000)
    assert energy.sampler_cpu_share == 0.01
    assert set(energy.uncertainty_parts_uj) == {
        "gain",
        "offset",
        "resolution",
        "edges",
        "alignment",
        "repeats",
        "drift",
    }
    assert summary.degraded == ()


def test_gain_and_zero_go_into_gross_and_only_gain_into_net() -> None:
    trace = trace_from(load, 60)
    energy = summarize(seen(trace, meter(gain_error=0.01, offset_error_mw=50.0)), windows(), PLAN, 3).energy
    parts = energy.uncertainty_parts_uj
    assert parts["gain"] == pytest.approx(2000, rel=1e-3)
    # 50 mW for 20 ms.
    assert parts["offset"] == pytest.approx(1000, rel=1e-3)
    assert energy.gross_uncertainty_uj == pytest.approx(1.96 * math.hypot(2000, 1000), rel=1e-3)
    assert energy.net_uncertainty_uj == pytest.approx(1.96 * 1200, rel=1e-2)


def test_windows_that_differ_widen_by_students_t() -> None:
    """10, 10.3 and 9.7 W: s = 300 mW over 3 windows, and t is 4.3027 for 2 degrees of freedom."""
    trace = trace_from(load, 60)
    totals = trace.total_mw.copy()
    for span, change in zip(SPANS, (0, 300, -300), strict=True):
        inside = (trace.monotonic_ns >= span.begin_ns - SECOND) & (trace.monotonic_ns <= span.end_ns)
        totals[inside] += change
    energy = summarize(seen(with_totals(trace, totals)), windows(), PLAN, 3).energy
    expected = 300 / math.sqrt(3) * 20
    assert energy.uncertainty_parts_uj["repeats"] == pytest.approx(expected, rel=1e-2)
    assert energy.gross_uncertainty_uj == pytest.approx(4.3027 * expected, rel=1e-2)


def test_a_single_window_tells_by_its_own_pieces() -> None:
    random = np.random.default_rng(0)
    trace = trace_from(load, 60)
    noisy = with_totals(trace, trace.total_mw + random.normal(0, 500, trace.total_mw.size))
    energy = summarize(seen(noisy), windows()[:1], PLAN, 1).energy
    # 500 readings of 500 mW noise: 22 mW, for 20 ms.
    assert energy.uncertainty_parts_uj["repeats"] == pytest.approx(447, rel=0.7)
    assert energy.gross_uncertainty_uj >= 2.7 * energy.uncertainty_parts_uj["repeats"]


def test_voided_windows_are_counted_and_left_out() -> None:
    trace = trace_from(load, 60)
    totals = trace.total_mw.copy()
    totals[(trace.monotonic_ns > 26 * SECOND) & (trace.monotonic_ns < 30 * SECOND)] = 90_000
    summary = summarize(
        seen(with_totals(trace, totals)), windows((), ("meter_gap", "throttled"), ()), PLAN, 3
    )
    energy = summary.energy
    assert energy.status == result_pb2.ENERGY_STATUS_MEASURED
    assert energy.gross_uj_per_inference == pytest.approx(200_000, rel=1e-3)
    assert energy.peak_power_mw == 10_000
    assert (energy.windows_kept, energy.windows_voided) == (2, 1)
    assert dict(energy.void_reasons) == {"meter_gap": 1, "throttled": 1}
    assert codes(summary) == [WINDOWS_VOIDED]
    assert summary.degraded[0][1] == "2 of 3 windows could be kept: meter_gap voided 1, throttled voided 1"


def test_too_few_windows_are_void_and_their_numbers_still_shown() -> None:
    spoilt = (("meter_stuck",), ("meter_stuck",), ())
    summary = summarize(seen(trace_from(load, 60)), windows(*spoilt), PLAN, 3)
    assert summary.energy.status == result_pb2.ENERGY_STATUS_VOID
    assert summary.energy.detail == "1 of 3 windows could be kept: meter_stuck voided 2"
    assert summary.energy.gross_uj_per_inference == pytest.approx(200_000, rel=1e-3)
    assert summary.degraded == ()


def test_a_meter_that_was_gone_before_the_first_window() -> None:
    trace = trace_from(load, 5)
    summary = summarize(
        seen(trace, idle_before=None, idle_after=None), [], PLAN, 3, missing=("meter_gone", "unplugged")
    )
    energy = summary.energy
    assert energy.status == result_pb2.ENERGY_STATUS_VOID
    assert dict(energy.void_reasons) == {"meter_gone": 3}
    assert energy.detail == "0 of 3 windows could be kept: meter_gone voided 3; unplugged"
    assert (energy.method, energy.gross_uj_per_inference, energy.inferences) == ("", 0, 0)


def test_windows_without_readings_have_no_numbers() -> None:
    """The readings ended before the first window."""
    trace = trace_from(load, 5)
    gone = (("meter_gone",),) * 3
    energy = summarize(seen(trace), windows(*gone), PLAN, 3).energy
    assert energy.status == result_pb2.ENERGY_STATUS_VOID
    assert energy.windows_voided == 3


def test_idle_that_drifted_degrades_and_widens_net() -> None:
    trace = trace_from(load, 60)
    late = trace.monotonic_ns > 49 * SECOND
    summary = summarize(seen(with_totals(trace, np.where(late, 5200.0, trace.total_mw))), windows(), PLAN, 3)
    energy = summary.energy
    assert codes(summary) == [IDLE_DRIFT]
    assert summary.degraded[0][1] == "the idle board took 4000 mW before and 5200 mW after"
    # Idle counts as 4.6 W; anything from 4 to 5.2 is as likely.
    assert energy.net_uj_per_inference == pytest.approx((10_000 - 4600) * 20, rel=1e-3)
    drift = 1200 / math.sqrt(12) * 20
    assert energy.uncertainty_parts_uj["drift"] == pytest.approx(drift, rel=1e-2)
    assert energy.net_uncertainty_uj == pytest.approx(1.96 * drift, rel=1e-2)
    assert energy.gross_uncertainty_uj < 0.1 * energy.net_uncertainty_uj


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"idle_after": None}, IDLE_ONE_SIDED),
        ({"idle_before": None, "idle_after": None}, IDLE_UNKNOWN),
    ],
)
def test_idle_that_was_not_measured_is_named(changed: dict[str, Any], code: str) -> None:
    summary = summarize(seen(trace_from(load, 60), **changed), windows(), PLAN, 3)
    assert codes(summary) == [code]
    assert summary.energy.gross_uj_per_inference == pytest.approx(200_000, rel=1e-3)
    assert (summary.energy.net_uj_per_inference == 0) == (code == IDLE_UNKNOWN)


def test_energy_that_is_hardly_known_says_so() -> None:
    summary = summarize(seen(trace_from(load, 60), meter(gain_error=0.06)), windows(), PLAN, 3)
    assert summary.degraded == ((ENERGY_UNCERTAIN, "energy is known within ±12% only"),)


@pytest.mark.parametrize("rule", [INTERIOR, EXTENDED])
def test_both_ways_of_meeting_a_lag_find_the_energy(rule: str) -> None:
    """Windows of 10 s, seen through a lag of 0.43 s: integrated as they are, after a step from idle, 2.6 % of
    their energy would be missing."""
    lag_s, begin_early_s = 0.43, 3.0 if rule == INTERIOR else 0.0
    description = meter(rate_hz=50.0, lag_s=lag_s)
    times = np.arange(60_000) / 1000
    busy = np.zeros(times.size, bool)
    for span in SPANS:
        # The windows are 2 s apart; in between, the board is idle for as long as it takes.
        begin_s, end_s = span.begin_ns / SECOND, span.end_ns / SECOND
        busy |= (times >= max(begin_s - begin_early_s, begin_s - 1.9)) & (times < end_s)
    shown = first_order(np.where(busy, 10_000.0, 4_000.0), 0.001, lag_s)
    trace = trace_from(lambda at: shown[np.minimum((at * 1000).astype(int), shown.size - 1)], 60)
    plan = WindowPlan(
        lag_rule=rule,
        duration_ns=10 * SECOND,
        warmup_ns=round(1.9 * SECOND) if rule == INTERIOR else 0,
        settle_ns=round(1.95 * SECOND),
        idle_ns=9 * SECOND,
    )
    idle = {"idle_before": seconds(0, 10), "idle_after": seconds(51, 60)}
    energy = summarize(seen(trace, description, **idle), windows(), plan, 3).energy
    assert energy.lag_rule == rule
    assert energy.gross_uj_per_inference == pytest.approx(200_000, rel=2e-3)
    assert abs(energy.gross_uj_per_inference - 200_000) <= energy.gross_uncertainty_uj
    assert energy.uncertainty_parts_uj["edges"] > 0


def test_a_remote_clock_that_may_be_off_does_not_read_idle_for_load() -> None:
    """The meter's stamps are 0.3 s behind: at the window's end it still shows what was before."""
    trace = trace_from(load, 60)
    late = replace(trace, monotonic_ns=trace.monotonic_ns - 3 * SECOND // 10)
    plain = summarize(seen(late), windows(), PLAN, 3).energy
    aligned = summarize(seen(late, alignment_ns=3 * SECOND // 10), windows(), PLAN, 3).energy
    assert plain.gross_uj_per_inference < 0.985 * 200_000
    assert aligned.gross_uj_per_inference == pytest.approx(200_000, rel=1e-3)


def test_rails_that_were_not_read_are_absent() -> None:
    trace = trace_from(load, 60)
    rails = np.stack([trace.total_mw, np.full(trace.total_mw.size, np.nan)], axis=1)
    two = meter(rails=(Rail(name="in", in_total=True), Rail(name="gpu", in_total=False)))
    energy = summarize(seen(replace(trace, rails_mw=rails), two), windows(), PLAN, 3).energy
    assert [rail.name for rail in energy.rails] == ["in"]
