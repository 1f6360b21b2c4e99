"""Server: queries arrive at random, whether the model is free or not (MLPerf LoadGen's Server).

One query at a time, first come, first served. A query's latency runs from the moment at which it was to
arrive to its end, so that what it waited behind others counts, and what this loop was late counts too. All
arrivals are fixed beforehand: a slow query delays none of them, and none is left out ("coordinated omission",
G. Tene, "How NOT to Measure Latency", 2015).
"""

from __future__ import annotations

import time
from array import array
from itertools import repeat

import numpy as np

from edgemeter_agent.engine.loop import Query
from edgemeter_agent.engine.scenarios.arrivals import (
    Times,
    arrival_times,
    give_up_after_ns,
    lateness,
    most_in_flight,
)
from edgemeter_agent.engine.scenarios.taken import Taken, Timed, refuse_grouping
from edgemeter_agent.statistics.percentiles import percentile
from edgemeter_protos.v1 import engine_pb2

LEAST_SPIN_NS = 1_000_000
MOST_SPIN_NS = 20_000_000
TRIAL_SLEEPS = 8
TRIAL_SLEEP_NS = 1_000_000


def prepare(request: engine_pb2.ChildBlock, query: Query, batch_size: int) -> Timed:
    """`min_queries` and `min_duration_ns` are of the arrivals; after the last one its backlog is served.

    Arrivals far apart are slept for, up to the last millisecond, or more where this board oversleeps; that
    rest is spent on the clock. Where the backlog makes the block take more than twice as long as its
    arrivals, it is given up, and what still waits has as latency what it waited so far.
    """
    refuse_grouping(request, "server")
    if batch_size > 1:
        raise ValueError(f"a batch of {batch_size}: a server's queries come one by one; use batch_size 1")
    if request.untimed_queries:
        raise ValueError(f"{request.untimed_queries} untimed queries: a server times each of its queries")
    arrivals = arrival_times(request.target_qps, request.seed, request.min_queries, request.min_duration_ns)
    spin_ns = spin_of(oversleep_ns())

    def run() -> Taken:
        return _serve(query, arrivals, spin_ns)

    return run


def _serve(query: Query, arrivals: Times, spin_ns: int) -> Taken:
    clock, sleep = time.perf_counter_ns, time.sleep
    # Arrays of Python's own: they give and take whole numbers without a detour.
    due_after = array("q", arrivals.tobytes())
    starts, ends = array("q", bytes(8 * len(due_after))), array("q", bytes(8 * len(due_after)))
    served = 0
    begin = clock()
    give_up = begin + give_up_after_ns(due_after[-1])
    for offset in due_after:
        due = begin + offset
        now = clock()
        if now < due:
            if due - now > spin_ns:
                sleep((due - now - spin_ns) / 1e9)
            while now < due:
                now = clock()
        elif now > give_up:
            break
        starts[served] = now
        query()
        ends[served] = clock()
        served += 1
    stopped = clock() - begin
    relative_starts = np.frombuffer(starts, np.int64)[:served] - begin
    relative_ends = np.frombuffer(ends, np.int64)[:served] - begin
    return taken(arrivals, relative_starts, relative_ends, stopped)


def taken(arrivals: Times, starts: Times, ends: Times, stopped_ns: int) -> Taken:
    """From stamps to results: pure. `starts` and `ends` are of the queries that were served, the first ones.
    All in ns from the start of the timed part."""
    served = len(ends)
    waited = stopped_ns - arrivals[served:]
    late = lateness(arrivals, starts, ends)
    return Taken(
        latency_ns=_numbers(np.concatenate([ends - arrivals[:served], waited])),
        duration_ns=stopped_ns if len(waited) else int(ends[-1]),
        samples=served,
        queueing_ns=_numbers(np.concatenate([starts - arrivals[:served], waited])),
        most_in_flight=most_in_flight(arrivals, ends),
        unserved_queries=len(waited),
        last_arrival_ns=int(arrivals[-1]),
        lateness_p50_ns=int(percentile(late, 50)) if served else 0,
        lateness_max_ns=int(late.max(initial=0)),
    )


def _numbers(times: Times) -> array[int]:
    """Python's own, in 8 bytes each."""
    return array("q", times.tobytes())


def oversleep_ns() -> int:
    """By how much a short sleep lasts longer than it was asked to, at worst in a few trials."""
    clock, sleep = time.perf_counter_ns, time.sleep
    worst = 0
    for _ in repeat(None, TRIAL_SLEEPS):
        begin = clock()
        sleep(TRIAL_SLEEP_NS / 1e9)
        worst = max(worst, clock() - begin - TRIAL_SLEEP_NS)
    return worst


def spin_of(oversleep: int) -> int:
    """How long before an arrival sleeping ends: twice what was overslept at worst, within bounds."""
    return min(max(2 * oversleep, LEAST_SPIN_NS), MOST_SPIN_NS)
