"""Single-stream: one query after another, each timed by itself (MLPerf LoadGen's SingleStream)."""

from __future__ import annotations

import time
from array import array

from edgemeter_agent.engine.loop import Query, repeated, timed_queries
from edgemeter_agent.engine.scenarios.taken import Taken, Timed
from edgemeter_protos.v1 import engine_pb2


def prepare(request: engine_pb2.ChildBlock, query: Query, batch_size: int) -> Timed:
    """A query is one batch. With `batch_queries` a sample is so many of them, and its latency their mean,
    rounded: for models that take no longer than the clock's own reading."""
    grouped = max(request.batch_queries, 1)
    group = repeated(query, grouped)

    def run() -> Taken:
        begin = time.perf_counter_ns()
        sums = timed_queries(group, request.min_queries, request.min_duration_ns, request.untimed_queries)
        duration_ns = time.perf_counter_ns() - begin
        groups = len(sums) + (len(sums) - 1) * request.untimed_queries
        return Taken(
            latency_ns=sums if grouped == 1 else array("q", (round(total / grouped) for total in sums)),
            duration_ns=duration_ns,
            samples=groups * grouped * batch_size,
        )

    return run
