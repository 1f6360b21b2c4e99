from __future__ import annotations

import numpy as np
import pytest

from edgemeter_agent.statistics.onset import slowed_because, slowed_from, summarize_sustained
from edgemeter_protos.v1 import result_pb2
from tests.benchmarks.simulated.onsets import (
    POINTS,
    Shape,
    Values,
    autoregressive,
    bump,
    flat,
    found,
    ramp,
    step,
)

RUNS = 200
SECOND_NS = 1_000_000_000


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("points", [30, POINTS])
def test_noise_is_no_slowing(correlation: float, points: int) -> None:
    alarms = sum(one is not None for one in found(flat, correlation, 0.05, RUNS, points))
    # 200 runs tell 5 % to +-3 %.
    assert alarms / RUNS <= 0.08


@pytest.mark.parametrize(("correlation", "sd"), [(0.0, 0.01), (0.5, 0.01), (0.0, 0.02)])
def test_a_step_is_found_where_it_is(correlation: float, sd: float) -> None:
    places = found(step(0.4, 0.1), correlation, sd, RUNS)
    near = [place for place in places if place is not None and abs(place - 48) <= 2]
    assert len(near) / RUNS >= 0.95


@pytest.mark.parametrize("begin", [0.0, 0.4])
def test_a_slow_ramp_is_found(begin: float) -> None:
    places = found(ramp(begin, 0.15), 0.3, 0.01, RUNS)
    seen = [place for place in places if place is not None]
    assert len(seen) / RUNS >= 0.95
    if begin:
        assert abs(float(np.median(seen)) - begin * POINTS) <= 6


@pytest.mark.parametrize(
    "shape",
    [
        # a while only
        bump(0.3, 0.5, 0.1),
        # a faster end
        step(0.5, -0.1),
        # too little to mention
        step(0.5, 0.01),
        # a slow start
        bump(0.0, 0.1, 0.3),
    ],
)
def test_what_is_no_slowing_for_good(shape: Shape) -> None:
    alarms = sum(one is not None for one in found(shape, 0.3, 0.005, RUNS))
    assert alarms / RUNS <= 0.08


def slow_start_then_throttled(points: int) -> Values:
    return bump(0.0, 0.1, 0.3)(points) + step(0.6, 0.1)(points)


def two_steps(points: int) -> Values:
    return step(0.3, 0.1)(points) + step(0.6, 0.2)(points)


def to_and_fro(points: int) -> Values:
    """A governor between two clocks."""
    return step(0.5, 0.1)(points) + np.where(np.arange(points) % 4 < 2, 0.05, 0) * step(0.5, 1)(points)


@pytest.mark.parametrize(
    ("shape", "share"), [(slow_start_then_throttled, 0.6), (two_steps, 0.3), (to_and_fro, 0.5)]
)
def test_the_first_rise_that_lasts(shape: Shape, share: float) -> None:
    places = found(shape, 0.3, 0.01, RUNS)
    near = [place for place in places if place is not None and abs(place - share * POINTS) <= 2]
    assert len(near) / RUNS >= 0.9


def test_a_point_that_sticks_out_is_no_step() -> None:
    random = np.random.default_rng(3)
    p50 = 1e6 * np.exp(autoregressive(random, POINTS, 0.0, 0.01))
    p50[110] *= 3
    assert slowed_from(p50) is None


@pytest.mark.parametrize("points", [0, 1, 19])
def test_few_points_say_nothing(points: int) -> None:
    assert slowed_from(1e6 * np.exp(step(0.5, 1.0)(points))) is None


def test_without_noise() -> None:
    assert slowed_from(np.full(60, 1e6)) is None
    assert slowed_from(1e6 * np.exp(step(0.5, 0.1)(60))) == 30


def test_a_long_series_is_looked_at_in_groups() -> None:
    random = np.random.default_rng(6)
    p50 = 1e6 * np.exp(step(0.4, 0.1)(3000) + autoregressive(random, 3000, 0.3, 0.01))
    place = slowed_from(p50)
    assert place is not None
    assert abs(place - 1200) <= 10


def points(p50: Values, **shown: Values) -> list[result_pb2.SustainedPoint]:
    made = []
    for place, one in enumerate(p50):
        point = result_pb2.SustainedPoint(at_ns=(place + 1) * SECOND_NS, p50_ns=one, queries=10)
        for field, values in shown.items():
            setattr(point, field, bool(values[place]) if field == "throttled" else int(values[place]))
        made.append(point)
    return made


rising = 1e6 * np.exp(step(0.5, 0.2)(40) + autoregressive(np.random.default_rng(1), 40, 0.0, 0.01))
later = np.arange(40) >= 20


@pytest.mark.parametrize(
    ("shown", "because"),
    [
        ({"throttled": later, "frequency_hz": np.where(later, 1.0e9, 1.5e9)}, "throttled"),
        # said a point later than it was felt
        ({"throttled": np.arange(40) >= 21}, "throttled"),
        # said all the time: nothing new
        ({"throttled": np.ones(40), "frequency_hz": np.where(later, 1.0e9, 1.5e9)}, "frequency_fell"),
        # said long after
        ({"throttled": np.arange(40) >= 30, "frequency_hz": np.full(40, 1.5e9)}, ""),
        (
            {
                "frequency_hz": np.where(later, 1.0e9, 1.5e9),
                "temperature_millicelsius": 40_000 + 20_000 * later,
            },
            "frequency_fell",
        ),
        (
            {"frequency_hz": np.full(40, 1.5e9), "temperature_millicelsius": 40_000 + 20_000 * later},
            "temperature",
        ),
        ({"temperature_millicelsius": np.full(40, 40_000)}, ""),
        ({}, ""),
    ],
)
def test_what_the_board_showed(shown: dict[str, Values], because: str) -> None:
    sustained = summarize_sustained(40 * SECOND_NS, points(rising, **shown))
    assert sustained.slowed_after_ns == 20 * SECOND_NS
    assert sustained.slowed_because == because
    assert slowed_because(sustained.points, 20) == because


def test_first_and_last() -> None:
    sustained = summarize_sustained(40 * SECOND_NS, points(rising))
    assert sustained.duration_ns == 40 * SECOND_NS
    assert sustained.first_p50_ns == np.median(rising[:5])
    assert sustained.last_p50_ns == np.median(rising[-5:])
    assert len(sustained.points) == 40


def test_a_load_that_held() -> None:
    sustained = summarize_sustained(20 * SECOND_NS, points(rising[:20]))
    assert not sustained.HasField("slowed_after_ns")
    assert sustained.slowed_because == ""


def test_points_without_queries_say_nothing() -> None:
    given = points(rising)
    for place in (0, 7, 39):
        given[place].queries = 0
        given[place].p50_ns = 0
    sustained = summarize_sustained(40 * SECOND_NS, given)
    assert len(sustained.points) == 40
    assert sustained.slowed_after_ns == 20 * SECOND_NS
    empty = summarize_sustained(SECOND_NS, given[:1])
    assert (empty.first_p50_ns, empty.last_p50_ns) == (0, 0)
    assert not empty.HasField("slowed_after_ns")
