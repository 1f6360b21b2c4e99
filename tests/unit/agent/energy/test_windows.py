from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_agent.energy.windows import EXTENDED, INTERIOR, NO_LAG, plan_windows, settle_ns
from edgemeter_protos.v1 import plan_pb2
from tests.unit.agent.energy.traces import SECOND, meter

PLAN = plan_pb2.Plan(
    energy_windows=5,
    energy_window_min_duration_ns=10 * SECOND,
    idle_duration_ns=30 * SECOND,
    warmup_min_duration_ns=SECOND // 2,
)
FAST_QUERY_NS = 2_000_000.0


def test_a_meter_that_is_quick_leaves_the_plan_alone() -> None:
    planned = plan_windows(meter(rate_hz=100.0), PLAN, FAST_QUERY_NS)
    assert planned.lag_rule == NO_LAG
    assert planned.duration_ns == 10 * SECOND
    assert planned.idle_ns == 30 * SECOND
    assert planned.warmup_ns == SECOND // 2


def test_a_lag_is_waited_out_under_load() -> None:
    planned = plan_windows(meter(rate_hz=23.0, lag_s=0.43), PLAN, FAST_QUERY_NS)
    assert planned.lag_rule == INTERIOR
    assert planned.warmup_ns >= 5 * 0.43 * SECOND
    assert planned.duration_ns == 10 * SECOND


@pytest.mark.parametrize(
    ("query_s", "rule"),
    [
        (4.0, INTERIOR),
        # Two settlings of the idle board take 2 * (5 * 0.43 + 2 / 23) = 4.47 s.
        (5.0, EXTENDED),
    ],
)
def test_a_query_that_is_longer_than_settling_has_no_warm_up(query_s: float, rule: str) -> None:
    planned = plan_windows(meter(rate_hz=23.0, lag_s=0.43), PLAN, query_s * SECOND)
    assert planned.lag_rule == rule
    assert (planned.warmup_ns == 0) == (rule == EXTENDED)


def test_a_meter_of_one_reading_a_second_makes_windows_longer() -> None:
    planned = plan_windows(meter(rate_hz=1.0), PLAN, FAST_QUERY_NS)
    assert planned.duration_ns == 20 * SECOND
    assert planned.warmup_ns == 2 * SECOND


def test_a_hopeless_meter_does_not_make_windows_endless() -> None:
    planned = plan_windows(meter(rate_hz=1 / 60), PLAN, FAST_QUERY_NS)
    assert planned.duration_ns == 600 * SECOND
    assert planned.idle_ns == 600 * SECOND


@given(
    rate_hz=st.floats(0.1, 1000),
    lag_s=st.floats(0, 20),
    query_s=st.floats(1e-6, 60),
    asked_s=st.integers(1, 900),
)
def test_windows_are_long_enough_whatever_the_meter(
    rate_hz: float, lag_s: float, query_s: float, asked_s: int
) -> None:
    description = meter(rate_hz=rate_hz, lag_s=lag_s)
    plan = plan_pb2.Plan(energy_window_min_duration_ns=asked_s * SECOND, idle_duration_ns=asked_s * SECOND)
    planned = plan_windows(description, plan, query_s * SECOND)
    longest = max(asked_s, 600) * SECOND
    assert asked_s * SECOND <= planned.duration_ns <= longest
    assert asked_s * SECOND <= planned.idle_ns <= longest
    assert planned.duration_ns * rate_hz / SECOND >= 20 * 0.999 or planned.duration_ns == longest
    assert planned.settle_ns == settle_ns(description)
    # Of a step, at most 0.7 % is left when the meter counts as settled.
    if lag_s > 0.001:
        assert math.exp(-planned.settle_ns / SECOND / lag_s) < 0.0068
    if planned.lag_rule == EXTENDED and planned.duration_ns < longest:
        # Both edges fall anywhere between two readings.
        assert SECOND / rate_hz / math.sqrt(6) / planned.duration_ns <= 0.00501
