from __future__ import annotations

import time
from itertools import count

import pytest

from edgemeter_agent.engine.loop import timed_queries
from edgemeter_agent.engine.sizing import BLOCK_SAMPLES, UINT32_MAX, patience_s, untimed_queries
from edgemeter_protos.v1 import engine_pb2, plan_pb2

SECOND_NS = 1_000_000_000


@pytest.mark.parametrize(
    ("request_", "latency_ns", "untimed"),
    [
        pytest.param(engine_pb2.ChildBlock(min_duration_ns=SECOND_NS // 2), 5000, 0, id="standard"),
        # 3,000,000 queries, of which every 23rd
        pytest.param(engine_pb2.ChildBlock(min_duration_ns=15 * SECOND_NS), 5000, 22, id="publication"),
        pytest.param(
            engine_pb2.ChildBlock(min_duration_ns=15 * SECOND_NS), 5_000_000, 0, id="publication-slow-model"
        ),
        pytest.param(
            engine_pb2.ChildBlock(min_duration_ns=15 * SECOND_NS, batch_queries=10), 5000, 2, id="batches"
        ),
        pytest.param(
            engine_pb2.ChildBlock(min_duration_ns=15 * SECOND_NS, min_queries=1_000_000),
            5000,
            2,
            id="more-are-asked-for",
        ),
        pytest.param(engine_pb2.ChildBlock(min_queries=10 * BLOCK_SAMPLES), 5000, 0, id="a-count-alone"),
        pytest.param(engine_pb2.ChildBlock(min_duration_ns=2**64 - 1), 0, UINT32_MAX, id="endless"),
    ],
)
def test_a_long_block_keeps_every_nth(
    request_: engine_pb2.ChildBlock, latency_ns: float, untimed: int
) -> None:
    assert untimed_queries(request_, latency_ns) == untimed


def test_the_queries_between_are_run_and_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Query number n takes n ns; two go by after each sample."""
    now_ns = 0
    numbers = count()

    def query() -> None:
        nonlocal now_ns
        now_ns += next(numbers)

    monkeypatch.setattr(time, "perf_counter_ns", lambda: now_ns)
    assert timed_queries(query, 4, 0, untimed_queries=2).tolist() == [0, 3, 6, 9]


@pytest.mark.parametrize(
    ("scenario", "batch_size", "untimed"),
    [
        # 15 s of 5 us: 3,000,000 runs of the model, of which every 23rd
        (plan_pb2.SCENARIO_OFFLINE, 16, 22),
        # eight of them a query: 375,000 queries; in batches of four, two: 1,500,000
        (plan_pb2.SCENARIO_MULTI_STREAM, 1, 2),
        (plan_pb2.SCENARIO_MULTI_STREAM, 4, 11),
        # a server leaves none out
        (plan_pb2.SCENARIO_SERVER, 1, 0),
    ],
)
def test_scenarios_keep_about_as_many(
    scenario: plan_pb2.Scenario.ValueType, batch_size: int, untimed: int
) -> None:
    request = engine_pb2.ChildBlock(
        scenario=scenario, samples_per_query=8, min_duration_ns=15 * SECOND_NS, target_qps=1e5
    )
    assert untimed_queries(request, 5000, batch_size) == untimed


def test_patience_counts_the_untimed_queries() -> None:
    few = engine_pb2.ChildBlock(min_queries=100)
    many = engine_pb2.ChildBlock(min_queries=100, untimed_queries=9)
    assert patience_s(many, 1e9) - 60 == pytest.approx(10 * (patience_s(few, 1e9) - 60))
