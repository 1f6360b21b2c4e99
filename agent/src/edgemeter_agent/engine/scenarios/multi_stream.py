"""Multi-stream: one query of several samples after another (MLPerf LoadGen's MultiStream): a board with
several cameras, whose pictures come together."""

from __future__ import annotations

import time

from edgemeter_agent.engine.loop import Query, repeated, timed_queries
from edgemeter_agent.engine.scenarios.taken import Taken, Timed, refuse_grouping
from edgemeter_protos.v1 import engine_pb2


def prepare(request: engine_pb2.ChildBlock, query: Query, batch_size: int) -> Timed:
    """A query is `samples_per_query` samples in as few batches as hold them, one after another; its latency
    ends with the last."""
    refuse_grouping(request, "multi-stream")
    samples_per_query = max(request.samples_per_query, 1)
    whole = repeated(query, invocations(samples_per_query, batch_size))

    def run() -> Taken:
        begin = time.perf_counter_ns()
        latencies = timed_queries(
            whole, request.min_queries, request.min_duration_ns, request.untimed_queries
        )
        duration_ns = time.perf_counter_ns() - begin
        queries = len(latencies) + (len(latencies) - 1) * request.untimed_queries
        return Taken(latency_ns=latencies, duration_ns=duration_ns, samples=queries * samples_per_query)

    return run


def invocations(samples_per_query: int, batch_size: int) -> int:
    """How often the model is run for one query: the last batch may be filled up."""
    return max(-(-samples_per_query // max(batch_size, 1)), 1)
