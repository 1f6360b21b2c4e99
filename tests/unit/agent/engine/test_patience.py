from __future__ import annotations

import pytest

from edgemeter_agent.engine.sizing import HUNG_AFTER_S, patience_s
from edgemeter_protos.v1 import engine_pb2

SECOND_NS = 1_000_000_000


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
