"""Arrivals at random, and a server that leaves none of them out."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemeter_agent.engine.scenarios import arrivals, server
from edgemeter_protos.v1 import engine_pb2

SECOND_NS = 1_000_000_000
TICK_NS = 1000
rates = st.floats(0.01, 1e5)


@settings(deadline=None)
@given(rates, st.integers(0, 2**64 - 1), st.integers(0, 300), st.integers(0, 500))
def test_arrivals_are_those_of_the_duration_and_at_least_so_many(
    rate: float, seed: int, min_queries: int, expected_within: int
) -> None:
    duration_ns = round(expected_within / rate * 1e9)
    times = arrivals.arrival_times(rate, seed, min_queries, duration_ns)
    assert times.dtype == np.int64
    assert (np.diff(times) >= 0).all()
    assert times[0] >= 0
    within = int((times < duration_ns).sum())
    # A nanosecond's rounding may put the last one on the very end.
    assert len(times) - within <= 1 or len(times) == min_queries
    assert len(times) >= max(min_queries, 1)
    np.testing.assert_array_equal(times, arrivals.arrival_times(rate, seed, min_queries, duration_ns))


@settings(deadline=None)
@given(st.integers(0, 2**64 - 1))
def test_more_time_adds_arrivals_and_moves_none(seed: int) -> None:
    few = arrivals.arrival_times(100, seed, 0, SECOND_NS)
    many = arrivals.arrival_times(100, seed, 0, 20 * SECOND_NS)
    assert len(many) > len(few)
    np.testing.assert_array_equal(many[: len(few)], few)


@pytest.mark.parametrize("seed", range(5))
def test_arrivals_are_a_poisson_process(seed: int) -> None:
    rate, seconds = 200.0, 500
    times = arrivals.arrival_times(rate, seed, 0, seconds * SECOND_NS)
    # The count is within four standard deviations of its mean.
    assert abs(len(times) - rate * seconds) < 4 * np.sqrt(rate * seconds)
    gaps_s = np.diff(times) / 1e9
    # Exponential gaps: mean and standard deviation alike, e^-1 of them above the mean, none tells of the
    # next.
    assert gaps_s.mean() == pytest.approx(1 / rate, rel=0.02)
    assert gaps_s.std() == pytest.approx(1 / rate, rel=0.03)
    assert (gaps_s > 1 / rate).mean() == pytest.approx(np.exp(-1), abs=0.006)
    assert abs(np.corrcoef(gaps_s[:-1], gaps_s[1:])[0, 1]) < 0.015
    # Counts of a second each: the variance is the mean.
    counts = np.bincount(times // SECOND_NS, minlength=seconds)
    assert counts.var() / counts.mean() == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize(
    ("rate", "min_queries", "duration_ns", "says"),
    [
        (0.0, 1, 0, "above 0, and target_qps is 0"),
        (-3.0, 1, 0, "target_qps is -3"),
        (float("nan"), 1, 0, "target_qps is nan"),
        (float("inf"), 1, 0, "target_qps is inf"),
        (1e6, 1, 60 * SECOND_NS, "about 6e\\+07 arrivals in a block, and 4,194,304 fit in memory"),
        (1.0, 2**32 - 1, 0, "fit in memory"),
        (1e-9, 1000, 0, "take years: raise target_qps"),
    ],
)
def test_rates_that_cannot_be_served(rate: float, min_queries: int, duration_ns: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        arrivals.arrival_times(rate, 0, min_queries, duration_ns)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=30),
    st.lists(st.integers(1, 20), min_size=30, max_size=30),
    st.integers(0, 30),
)
def test_most_in_flight_is_what_counting_at_every_moment_gives(
    when: list[int], services: list[int], unserved: int
) -> None:
    arrived = np.array(sorted(when), np.int64)
    ends: list[int] = []
    for arrival, service in zip(arrived.tolist(), services, strict=False):
        ends.append(max(arrival, ends[-1] if ends else 0) + service)
    ended = np.array(ends[: max(len(ends) - unserved, 0)], np.int64)
    brute = max(
        sum(arrived <= moment) - sum(ended <= moment) for moment in range(int(max(arrived.max(), 0)) + 1)
    )
    assert arrivals.most_in_flight(arrived, ended) == brute


def lindley(times: np.ndarray, service_ns: int) -> np.ndarray:
    """Latencies of a single server with a constant service time (D. V. Lindley, 1952)."""
    ends: list[int] = []
    for arrival in times.tolist():
        ends.append(max(arrival, ends[-1] if ends else 0) + service_ns)
    latencies: np.ndarray = np.array(ends) - times
    return latencies


class Machine:
    """A clock that moves by a tick whenever it is read, by what a query takes, and by what a sleep lasts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, oversleep_ns: int = 0) -> None:
        self.now_ns = 7 * SECOND_NS
        self.slept_ns = 0
        self._oversleep_ns = oversleep_ns
        monkeypatch.setattr(time, "perf_counter_ns", self._read)
        monkeypatch.setattr(time, "sleep", self._sleep)

    def _read(self) -> int:
        self.now_ns += TICK_NS
        return self.now_ns

    def _sleep(self, seconds: float) -> None:
        asked_ns = round(seconds * 1e9)
        self.slept_ns += asked_ns
        self.now_ns += asked_ns + self._oversleep_ns

    def query(self, *lasts_ns: int) -> Callable[[], None]:
        """Takes `lasts_ns` in turn, the last one from then on."""
        left = list(lasts_ns)

        def run() -> None:
            self.now_ns += left.pop(0) if len(left) > 1 else left[0]

        return run


def block(**numbers: float) -> engine_pb2.ChildBlock:
    return engine_pb2.ChildBlock(**numbers)  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(st.floats(0.05, 1.3), st.integers(0, 1000))
def test_latencies_are_those_of_a_queue_with_one_server(load: float, seed: int) -> None:
    """Up to what the loop itself takes: a few readings of the clock a query."""
    service_ns = 10_000_000
    request = block(target_qps=load * 1e9 / service_ns, seed=seed, min_queries=60)
    with pytest.MonkeyPatch.context() as monkeypatch:
        machine = Machine(monkeypatch)
        taken = server.prepare(request, machine.query(service_ns), 1)()
    times = arrivals.arrival_times(request.target_qps, seed, 60, 0)
    latencies, queueing = np.array(taken.latency_ns), np.array(taken.queueing_ns)
    assert taken.unserved_queries == 0
    assert len(latencies) == len(times) == taken.samples
    assert (latencies >= lindley(times, service_ns)).all()
    assert (latencies <= lindley(times, service_ns + 5 * TICK_NS) + 5 * TICK_NS).all()
    assert (latencies - queueing == service_ns + TICK_NS).all()
    assert taken.last_arrival_ns == times[-1]
    assert taken.duration_ns == times[-1] + latencies[-1]
    assert taken.lateness_p50_ns <= taken.lateness_max_ns <= 3 * TICK_NS
    ends = times + latencies
    assert taken.most_in_flight == arrivals.most_in_flight(times, ends)


def test_a_stall_is_counted_for_everyone_who_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    """One query of a second among those of a millisecond: a loop that waits with the next query until it is
    free would show one bad latency of 200 (coordinated omission)."""
    machine = Machine(monkeypatch)
    request = block(target_qps=100.0, seed=3, min_queries=200)
    taken = server.prepare(request, machine.query(SECOND_NS, 1_000_000), 1)()
    times = arrivals.arrival_times(100.0, 3, 200, 0)
    stalled = times < times[0] + SECOND_NS
    assert 70 < stalled.sum() < 130
    left_ns = times[0] + SECOND_NS - times[stalled]
    assert (np.array(taken.latency_ns)[stalled] >= left_ns).all()
    assert taken.most_in_flight >= stalled.sum()
    assert len(taken.latency_ns) == 200


def test_an_overload_is_given_up_and_what_waits_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times as many queries as can be served: 100 a second, each of 100 ms."""
    machine = Machine(monkeypatch)
    request = block(target_qps=100.0, seed=1, min_duration_ns=10 * SECOND_NS)
    taken = server.prepare(request, machine.query(100_000_000), 1)()
    times = arrivals.arrival_times(100.0, 1, 0, 10 * SECOND_NS)
    assert len(taken.latency_ns) == len(taken.queueing_ns) == len(times)
    # Given up after twice the arrivals' time.
    limit_ns = 2 * taken.last_arrival_ns
    assert limit_ns <= taken.duration_ns <= limit_ns + 100_000_000 + 10 * TICK_NS
    assert taken.samples == pytest.approx(limit_ns / 100_000_000, abs=2)
    assert taken.unserved_queries == len(times) - taken.samples
    waited = taken.duration_ns - times[taken.samples :]
    np.testing.assert_array_equal(taken.latency_ns[taken.samples :], waited)
    np.testing.assert_array_equal(taken.queueing_ns[taken.samples :], waited)
    assert taken.most_in_flight == pytest.approx(900, abs=100)
    # What was achieved tells.
    assert taken.samples / (taken.duration_ns / 1e9) == pytest.approx(10, abs=0.2)


def test_a_slow_query_of_a_short_block_is_no_overload(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    request = block(target_qps=1000.0, seed=1, min_queries=5)
    taken = server.prepare(request, machine.query(500_000_000, 1000), 1)()
    assert (taken.samples, taken.unserved_queries) == (5, 0)


def test_waiting_is_slept_but_for_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    request = block(target_qps=1.0, seed=1, min_queries=5)
    timed = server.prepare(request, machine.query(1000), 1)
    machine.slept_ns = 0
    taken = timed()
    assert machine.slept_ns == pytest.approx(taken.last_arrival_ns, rel=0.01)
    assert machine.slept_ns < taken.last_arrival_ns


def test_a_board_that_oversleeps_is_woken_earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, oversleep_ns=4_000_000)
    request = block(target_qps=10.0, seed=1, min_queries=20)
    taken = server.prepare(request, machine.query(1000), 1)()
    assert taken.lateness_max_ns <= 3 * TICK_NS


def test_what_the_loop_was_late_is_part_of_the_latency_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sleeps that last far longer than the trials were."""
    machine = Machine(monkeypatch)
    request = block(target_qps=10.0, seed=1, min_queries=20)
    timed = server.prepare(request, machine.query(1000), 1)
    machine._oversleep_ns = 5_000_000
    taken = timed()
    assert taken.lateness_p50_ns == pytest.approx(4_000_000, abs=10 * TICK_NS)
    assert taken.lateness_max_ns >= taken.lateness_p50_ns
    assert min(taken.latency_ns) >= 1000
    assert np.median(taken.latency_ns) >= taken.lateness_p50_ns


@pytest.mark.parametrize(
    ("oversleep_ns", "spin_ns"),
    [(0, 1_000_000), (400_000, 1_000_000), (700_000, 1_400_000), (SECOND_NS, 20_000_000)],
)
def test_how_long_before_an_arrival_sleeping_ends(oversleep_ns: int, spin_ns: int) -> None:
    assert server.spin_of(oversleep_ns) == spin_ns


def test_a_process_that_stood_still_before_its_first_query() -> None:
    """SIGSTOP in the wrong moment: nothing was served, and everything waited."""
    none = np.array([], np.int64)
    taken = server.taken(np.array([10, 30], np.int64), none, none, 3 * SECOND_NS)
    assert list(taken.latency_ns) == [3 * SECOND_NS - 10, 3 * SECOND_NS - 30]
    assert (taken.samples, taken.unserved_queries, taken.most_in_flight) == (0, 2, 2)
    assert taken.duration_ns == 3 * SECOND_NS
    assert (taken.lateness_p50_ns, taken.lateness_max_ns) == (0, 0)


def test_lateness_counts_from_when_the_server_was_free() -> None:
    late = arrivals.lateness(
        np.array([10, 12, 100], np.int64),
        np.array([13, 25, 100], np.int64),
        np.array([20, 40, 110], np.int64),
    )
    assert late.tolist() == [3, 5, 0]
