from __future__ import annotations

import pytest

from edgemeter_agent.engine.sizing import (
    HUNG_AFTER_S,
    patience_s,
    profile_patience_s,
    window_patience_s,
)
from edgemeter_protos.v1 import engine_pb2, plan_pb2

SECOND_NS = 1_000_000_000
MULTI_STREAM, SERVER = plan_pb2.SCENARIO_MULTI_STREAM, plan_pb2.SCENARIO_SERVER


@pytest.mark.parametrize(
    ("request_", "latency_ns", "work_s"),
    [
        pytest.param(engine_pb2.ChildBlock(), 1000, 0, id="nothing-asked"),
        # 0.5 s of warm-up and 0.5 s of queries, of which the counts need far less
        pytest.param(
            engine_pb2.ChildBlock(
                warmup_min_queries=10,
                warmup_min_duration_ns=SECOND_NS // 2,
                min_queries=100,
                min_duration_ns=SECOND_NS // 2,
            ),
            5000,
            1,
            id="durations-decide",
        ),
        pytest.param(
            engine_pb2.ChildBlock(warmup_min_queries=10, min_queries=100, min_duration_ns=SECOND_NS // 2),
            2 * SECOND_NS,
            220,
            id="counts-decide",
        ),
        pytest.param(
            engine_pb2.ChildBlock(min_queries=100, batch_queries=50), SECOND_NS / 1000, 5, id="batches"
        ),
    ],
)
def test_patience_is_ten_times_the_work_and_a_minute(
    request_: engine_pb2.ChildBlock, latency_ns: float, work_s: float
) -> None:
    assert patience_s(request_, latency_ns) == pytest.approx(HUNG_AFTER_S + 10 * work_s)


@pytest.mark.parametrize(
    ("request_", "batch_size", "work_s"),
    [
        pytest.param(
            engine_pb2.ChildBlock(scenario=MULTI_STREAM, samples_per_query=8, min_queries=10),
            1,
            80,
            id="a query is eight runs",
        ),
        pytest.param(
            engine_pb2.ChildBlock(scenario=MULTI_STREAM, samples_per_query=8, min_queries=10),
            4,
            20,
            id="in two batches",
        ),
        # 100 queries at 10 a second take 10 s to arrive; given up after 20 s, in the middle of a query
        pytest.param(
            engine_pb2.ChildBlock(scenario=SERVER, min_queries=100, target_qps=10), 1, 21, id="a server"
        ),
        pytest.param(
            engine_pb2.ChildBlock(scenario=SERVER, min_duration_ns=30 * SECOND_NS, target_qps=10),
            1,
            61,
            id="a server for a time",
        ),
    ],
)
def test_patience_with_scenarios(request_: engine_pb2.ChildBlock, batch_size: int, work_s: float) -> None:
    assert patience_s(request_, SECOND_NS, batch_size) == pytest.approx(HUNG_AFTER_S + 10 * work_s)


def test_a_window_is_over_when_its_time_is() -> None:
    short = engine_pb2.ChildWindow(duration_ns=10 * SECOND_NS, warmup_min_queries=9)
    assert window_patience_s(short, 0.1 * SECOND_NS) == pytest.approx(HUNG_AFTER_S + 10 + 10)
    lagging = engine_pb2.ChildWindow(duration_ns=10 * SECOND_NS, warmup_min_duration_ns=5 * SECOND_NS)
    assert window_patience_s(lagging, 0) == pytest.approx(HUNG_AFTER_S + 15)
    # 600 points, each of which may have to ask a program
    sustained = engine_pb2.ChildWindow(duration_ns=600 * SECOND_NS, point_interval_ns=SECOND_NS)
    assert window_patience_s(sustained, 0) == pytest.approx(HUNG_AFTER_S + 600 + 600)


def test_a_profiler_may_be_ten_times_slower_and_hang_on_top() -> None:
    assert profile_patience_s(19, 0.1 * SECOND_NS) == pytest.approx(HUNG_AFTER_S + 10 * 10 * 2)
