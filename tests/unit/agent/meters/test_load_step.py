from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest

from edgemeter_agent.energy.trace import Trace
from edgemeter_agent.meters.load_step import (
    FOUND_QUALITY,
    LONGEST_PART,
    MIN_PART_S,
    PART_PERIODS,
    Schedule,
    correlate,
    run_signature,
    step_signature,
)

SECOND_NS = 1_000_000_000
START_NS = 50_000 * SECOND_NS


def moved(schedule: Schedule, by_ns: int) -> Schedule:
    return Schedule(bursts_ns=tuple((on + by_ns, off + by_ns) for on, off in schedule.bursts_ns))


def seen(
    schedule: Schedule,
    *,
    period_ns: int,
    delay_ns: int = 0,
    lag_s: float = 0.0,
    noise_mw: float = 0.0,
    idle_mw: float = 2500.0,
    step_mw: float = 3000.0,
    margin_s: float = 4.0,
    seed: int = 0,
) -> Trace:
    """The trace of a meter that averages over its period, behind a first-order lag and a delay."""
    random = np.random.default_rng(seed)
    fine_ns = period_ns // 20
    first, last = schedule.bursts_ns[0][0], schedule.bursts_ns[-1][1]
    times = np.arange(first - round(margin_s * SECOND_NS), last + round(margin_s * SECOND_NS), fine_ns)
    power = np.full(len(times), idle_mw)
    for on, off in schedule.bursts_ns:
        power[(times >= on + delay_ns) & (times < off + delay_ns)] += step_mw
    if lag_s:
        share = 1 - np.exp(-fine_ns / 1e9 / lag_s)
        state = idle_mw
        for n, value in enumerate(power):
            state += share * (value - state)
            power[n] = state
    count = len(times) // 20
    means = power[: count * 20].reshape(count, 20).mean(axis=1)
    stamps = times[: count * 20].reshape(count, 20)[:, 10] + round(random.uniform(0, 0.5) * period_ns)
    return Trace(
        monotonic_ns=stamps.astype(np.int64),
        total_mw=means + random.normal(0, noise_mw, count),
        rails_mw=np.zeros((count, 0)),
        counter_uj=np.array([]),
    )


@pytest.mark.parametrize("period_s", [0.01, 0.1, 1.0])
def test_lengths_differ_and_suit_the_meter(period_s: float) -> None:
    schedule = step_signature(7, period_s)
    edges = list(itertools.chain(*schedule.bursts_ns))
    lengths_s = np.diff(edges) / 1e9
    shortest = max(MIN_PART_S, PART_PERIODS * period_s)
    assert np.all(lengths_s >= shortest)
    assert np.all(lengths_s <= LONGEST_PART * shortest)
    assert len({round(length / shortest, 3) for length in lengths_s}) == len(lengths_s)
    assert step_signature(7, period_s) == schedule
    assert step_signature(8, period_s) != schedule


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("period_ns", [10_000_000, 100_000_000])
@pytest.mark.parametrize("share_of_period", [-30.0, -0.4, 0.0, 0.5, 12.3])
@pytest.mark.parametrize("noise_mw", [0.0, 600.0])
def test_a_delay_is_found_to_one_reading(
    seed: int, period_ns: int, share_of_period: float, noise_mw: float
) -> None:
    schedule = moved(step_signature(seed, period_ns / 1e9), START_NS)
    delay_ns = round(share_of_period * period_ns)
    trace = seen(schedule, period_ns=period_ns, delay_ns=delay_ns, noise_mw=noise_mw, margin_s=8, seed=seed)
    lag_ns, quality = correlate(trace, schedule, max_lag_s=4.0)
    assert abs(lag_ns - delay_ns) <= period_ns
    assert quality > FOUND_QUALITY


@pytest.mark.parametrize("idle_mw", [-400.0, 0.0, 60_000.0])
def test_an_offset_of_power_changes_nothing(idle_mw: float) -> None:
    schedule = moved(step_signature(3, 0.05), START_NS)
    lag_ns, quality = correlate(
        seen(schedule, period_ns=50_000_000, delay_ns=200_000_000, idle_mw=idle_mw), schedule, 2.0
    )
    assert abs(lag_ns - 200_000_000) <= 50_000_000
    assert quality > 0.95


def test_a_first_order_lag_is_part_of_what_is_found() -> None:
    schedule = moved(step_signature(5, 0.1), START_NS)
    lag_ns, quality = correlate(seen(schedule, period_ns=100_000_000, lag_s=0.15), schedule, 2.0)
    assert 50_000_000 < lag_ns < 250_000_000
    assert quality > FOUND_QUALITY


def test_noise_and_other_loads_are_not_taken_for_it() -> None:
    schedule = moved(step_signature(1, 0.1), START_NS)
    for seed in range(40):
        noise = seen(schedule, period_ns=100_000_000, step_mw=0.0, noise_mw=500.0, seed=seed)
        assert correlate(noise, schedule, 2.0)[1] < 0.6
        other = seen(moved(step_signature(seed + 100, 0.1), START_NS), period_ns=100_000_000, margin_s=12)
        assert correlate(other, schedule, 2.0)[1] < FOUND_QUALITY


@pytest.mark.parametrize(
    "trace",
    [
        seen(moved(step_signature(1, 0.1), START_NS), period_ns=100_000_000, step_mw=0.0),
        seen(moved(step_signature(1, 0.1), START_NS), period_ns=100_000_000, margin_s=1.0),
        Trace(
            monotonic_ns=np.array([], np.int64),
            total_mw=np.array([]),
            rails_mw=np.zeros((0, 0)),
            counter_uj=np.array([]),
        ),
    ],
    ids=["stands still", "too short", "empty"],
)
def test_where_nothing_can_be_found_the_quality_is_zero(trace: Trace) -> None:
    assert correlate(trace, moved(step_signature(1, 0.1), START_NS), 2.0) == (0, 0.0)


def test_the_load_is_made_when_it_was_planned() -> None:
    """With a clock that a look at it moves on: a burst is busy, a pause sleeps."""
    now, slept = [9_000], []

    def clock() -> int:
        now[0] += 1_000_000
        return now[0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += round(seconds * 1e9)

    schedule = step_signature(2, 0.01)
    ran = run_signature(schedule, clock, sleep)
    assert len(slept) == len(schedule.bursts_ns) - 1
    for (on, off), (planned_on, planned_off) in zip(ran.bursts_ns, schedule.bursts_ns, strict=True):
        assert on - ran.bursts_ns[0][0] == pytest.approx(planned_on, abs=5_000_000)
        assert off - ran.bursts_ns[0][0] == pytest.approx(planned_off, abs=5_000_000)


def test_a_real_run_is_found_in_the_load_it_made() -> None:
    """This process's own processor time, as a power meter would see it."""
    stop = threading.Event()
    points: list[tuple[int, float]] = []

    def worker() -> Schedule:
        time.sleep(0.5)
        clock_id = time.pthread_getcpuclockid(threading.get_ident())

        def sample() -> None:
            last = time.clock_gettime(clock_id)
            while not stop.wait(0.02):
                now = time.clock_gettime(clock_id)
                points.append((time.monotonic_ns(), now - last))
                last = now

        sampler = threading.Thread(target=sample)
        sampler.start()
        time.sleep(0.4)
        ran = run_signature(step_signature(9, 0.025))
        time.sleep(0.4)
        stop.set()
        sampler.join()
        return ran

    ran = worker()
    stamps = np.array([stamp for stamp, _ in points], np.int64)
    trace = Trace(
        monotonic_ns=stamps,
        total_mw=np.array([used for _, used in points]),
        rails_mw=np.zeros((len(points), 0)),
        counter_uj=np.array([]),
    )
    lag_ns, quality = correlate(trace, ran, 0.3)
    assert quality > 0.5
    assert abs(lag_ns) < 150_000_000
