from __future__ import annotations

import time
from itertools import count

import pytest

from edgemeter_agent.engine.loop import timed_queries
from edgemeter_agent.engine.sizing import BLOCK_SAMPLES, UINT32_MAX, patience_s, untimed_queries
from edgemeter_protos.v1 import engine_pb2

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


@pytest.mark.parametrize(("batch", "expected"), [(1, [0, 3, 6, 9]), (2, [0, 6, 12, 18])])
def test_the_queries_between_are_run_and_not_timed(
    monkeypatch: pytest.MonkeyPatch, batch: int, expected: list[int]
) -> None:
    """Query number n takes n ns; two go by after each sample."""
    now_ns = 0
    numbers = count()

    def query() -> None:
        nonlocal now_ns
        now_ns += next(numbers)

    monkeypatch.setattr(time, "perf_counter_ns", lambda: now_ns)
    taken = timed_queries(query, 4, 0, batch_queries=batch, untimed_queries=2)
    # The mean of n and n + 1, ties to even.
    assert taken.tolist() == (expected if batch == 1 else [round(number + 0.5) for number in expected])


def test_patience_counts_the_untimed_queries() -> None:
    few = engine_pb2.ChildBlock(min_queries=100)
    many = engine_pb2.ChildBlock(min_queries=100, untimed_queries=9)
    assert patience_s(many, 1e9) - 60 == pytest.approx(10 * (patience_s(few, 1e9) - 60))
