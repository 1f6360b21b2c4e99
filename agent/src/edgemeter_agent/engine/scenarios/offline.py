"""Offline: all samples are there at once and go through in batches, back to back (MLPerf LoadGen's Offline).

What counts is samples a second: `samples` over `duration_ns`. A latency is a batch's.
"""

from __future__ import annotations

import time

from edgemeter_agent.engine.loop import Query, timed_queries
from edgemeter_agent.engine.scenarios.taken import Taken, Timed, refuse_grouping
from edgemeter_protos.v1 import engine_pb2


def prepare(request: engine_pb2.ChildBlock, query: Query, batch_size: int) -> Timed:
    """`min_queries` counts batches."""
    refuse_grouping(request, "offline")

    def run() -> Taken:
        begin = time.perf_counter_ns()
        latencies = timed_queries(
            query, request.min_queries, request.min_duration_ns, request.untimed_queries
        )
        duration_ns = time.perf_counter_ns() - begin
        batches = len(latencies) + (len(latencies) - 1) * request.untimed_queries
        return Taken(latency_ns=latencies, duration_ns=duration_ns, samples=batches * batch_size)

    return run
