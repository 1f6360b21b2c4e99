from __future__ import annotations

import gc
import itertools
import time

import pytest

from edgemeter_agent.engine import loop


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
    ("min_samples", "min_duration_ns", "samples"),
    [
        # the count is reached last
        (10, 300, 10),
        # the time is reached last
        (3, 1000, 10),
        (1, 0, 1),
        # no count at all still takes one
        (0, 0, 1),
        (0, 999, 10),
        # more than the store holds at first
        (2 * loop.FIRST_CAPACITY + 1, 0, 2 * loop.FIRST_CAPACITY + 1),
        (1, 100 * (3 * loop.FIRST_CAPACITY), 3 * loop.FIRST_CAPACITY),
    ],
)
def test_a_block_ends_when_both_are_reached(
    monkeypatch: pytest.MonkeyPatch, min_samples: int, min_duration_ns: int, samples: int
) -> None:
    query = Query(monkeypatch, 100)
    latencies = loop.timed_queries(query, min_samples, min_duration_ns)
    assert latencies.tolist() == [100] * samples
    assert query.calls == samples


def test_each_query_has_its_own_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loop.timed_queries(Query(monkeypatch, 5, 7, 11), 6, 0).tolist() == [5, 7, 11, 5, 7, 11]


@pytest.mark.parametrize(
    ("queries", "duration_ns", "calls"), [(10, 0, 10), (0, 1000, 10), (10, 2000, 20), (0, 0, 0)]
)
def test_a_warm_up_reaches_both(
    monkeypatch: pytest.MonkeyPatch, queries: int, duration_ns: int, calls: int
) -> None:
    query = Query(monkeypatch, 100)
    loop.warm_up(query, queries, duration_ns)
    assert query.calls == calls


@pytest.mark.parametrize(("times", "calls"), [(1, 4), (3, 12)])
def test_repeated_queries_are_one(monkeypatch: pytest.MonkeyPatch, times: int, calls: int) -> None:
    query = Query(monkeypatch, 5)
    assert loop.timed_queries(loop.repeated(query, times), 4, 0).tolist() == [5 * times] * 4
    assert query.calls == calls


def test_garbage_collection_comes_back_as_it_was() -> None:
    with loop.no_garbage_collection():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with loop.no_garbage_collection():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
