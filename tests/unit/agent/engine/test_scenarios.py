"""How queries follow each other and what is counted, on a clock that only moves with the queries."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest

from edgemeter_agent.engine.scenarios import SCENARIOS, scenario_of
from edgemeter_agent.engine.scenarios.multi_stream import invocations
from edgemeter_protos.v1 import engine_pb2, plan_pb2

SINGLE, MULTI = plan_pb2.SCENARIO_SINGLE_STREAM, plan_pb2.SCENARIO_MULTI_STREAM
OFFLINE, SERVER = plan_pb2.SCENARIO_OFFLINE, plan_pb2.SCENARIO_SERVER


class Query:
    """Counts its calls; each lets a false clock pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *lasts_ns: int) -> None:
        self.calls = 0
        self.now_ns = 0
        self._lasts = itertools.cycle(lasts_ns)
        monkeypatch.setattr(time, "perf_counter_ns", lambda: self.now_ns)

    def __call__(self) -> None:
        self.calls += 1
        self.now_ns += next(self._lasts)


@pytest.mark.parametrize(
    ("scenario", "request_", "batch_size", "lasts", "latencies", "calls", "samples"),
    [
        # each query by itself
        (SINGLE, {"min_queries": 4}, 1, (5, 7), [5, 7, 5, 7], 4, 4),
        # a query is a batch
        (SINGLE, {"min_queries": 2}, 8, (5,), [5, 5], 2, 16),
        # the mean of each two
        (SINGLE, {"min_queries": 2, "batch_queries": 2}, 1, (2, 4), [3, 3], 4, 4),
        # every third is timed; after the last none goes by
        (SINGLE, {"min_queries": 3, "untimed_queries": 2}, 1, (1, 2, 3), [1, 1, 1], 7, 7),
        (SINGLE, {"min_queries": 2, "batch_queries": 2, "untimed_queries": 1}, 4, (2, 4), [3, 3], 6, 24),
        # until the time has passed
        (SINGLE, {"min_queries": 1, "min_duration_ns": 50}, 1, (10,), [10] * 5, 5, 5),
        # eight samples one by one
        (MULTI, {"min_queries": 2, "samples_per_query": 8}, 1, (5,), [40, 40], 16, 16),
        # in batches of three: three of them, the last one filled up, and no sample counted that isn't there
        (MULTI, {"min_queries": 2, "samples_per_query": 8}, 3, (5,), [15, 15], 6, 16),
        (MULTI, {"min_queries": 2, "samples_per_query": 8}, 8, (5,), [5, 5], 2, 16),
        (MULTI, {"min_queries": 2, "samples_per_query": 2, "untimed_queries": 1}, 1, (5,), [10, 10], 6, 6),
        # a latency is a batch's
        (OFFLINE, {"min_queries": 3}, 16, (5, 6), [5, 6, 5], 3, 48),
        (OFFLINE, {"min_queries": 2, "untimed_queries": 3}, 16, (5,), [5, 5], 5, 80),
        (OFFLINE, {"min_duration_ns": 30}, 2, (10,), [10] * 3, 3, 6),
    ],
)
def test_what_is_run_timed_and_counted(
    monkeypatch: pytest.MonkeyPatch,
    scenario: plan_pb2.Scenario.ValueType,
    request_: dict[str, Any],
    batch_size: int,
    lasts: tuple[int, ...],
    latencies: list[int],
    calls: int,
    samples: int,
) -> None:
    query = Query(monkeypatch, *lasts)
    timed = scenario_of(scenario)(engine_pb2.ChildBlock(**request_), query, batch_size)
    assert query.calls == 0
    taken = timed()
    assert list(taken.latency_ns) == latencies
    assert (query.calls, taken.samples) == (calls, samples)
    assert taken.duration_ns == query.now_ns
    assert (len(taken.queueing_ns), taken.most_in_flight, taken.unserved_queries) == (0, 0, 0)


@pytest.mark.parametrize(
    ("scenario", "request_", "batch_size", "says"),
    [
        (MULTI, {"batch_queries": 2}, 1, "only single-stream averages over several"),
        (OFFLINE, {"batch_queries": 2}, 1, "in offline each stands for itself"),
        (SERVER, {"batch_queries": 2, "target_qps": 1}, 1, "in server each stands for itself"),
        (SERVER, {"target_qps": 1}, 2, "a batch of 2: a server's queries come one by one"),
        (SERVER, {"target_qps": 1, "untimed_queries": 1}, 1, "a server times each of its queries"),
        (SERVER, {}, 1, "target_qps is 0"),
    ],
)
def test_what_a_scenario_cannot_serve_is_refused_beforehand(
    scenario: plan_pb2.Scenario.ValueType, request_: dict[str, Any], batch_size: int, says: str
) -> None:
    def query() -> None:
        raise AssertionError("nothing is to be run")

    with pytest.raises(ValueError, match=says):
        scenario_of(scenario)(engine_pb2.ChildBlock(**request_), query, batch_size)


def test_every_scenario_of_the_contract_is_there() -> None:
    assert set(SCENARIOS) == {number for number in plan_pb2.Scenario.values() if number}
    assert scenario_of(plan_pb2.SCENARIO_UNSPECIFIED) is SCENARIOS[SINGLE]


def test_a_scenario_of_the_future_is_one_line() -> None:
    with pytest.raises(ValueError, match="knows no scenario number 77; update it"):
        scenario_of(77)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("samples", "batch", "runs"), [(8, 1, 8), (8, 8, 1), (8, 3, 3), (9, 3, 3), (1, 16, 1), (0, 1, 1)]
)
def test_a_query_takes_as_few_batches_as_hold_it(samples: int, batch: int, runs: int) -> None:
    assert invocations(samples, batch) == runs
