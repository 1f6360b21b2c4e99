"""Back-to-back queries for a given time: what energy is measured over, and what a sustained load does."""

from __future__ import annotations

import time
from array import array

from edgemeter_agent.board import processor, thermal, throttling
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.conditions.judge import PI_SLOWED_NOW, PI_SLOWED_SINCE_BOOT
from edgemeter_agent.conditions.snapshot import take_after, take_before
from edgemeter_agent.engine.loop import Query, no_garbage_collection, timed_queries, warm_up
from edgemeter_agent.statistics.percentiles import percentile
from edgemeter_protos.v1 import engine_pb2, result_pb2

REWARM_QUERIES = 3
"""After conditions were read: they bring the model back into the caches."""


def take_window(
    request: engine_pb2.ChildWindow,
    query: Query,
    batch_size: int,
    board: BoardRoot,
    uses_accelerator: bool = False,
) -> engine_pb2.ChildWindowDone:
    """Runs queries of one batch each until `duration_ns` has passed, at least one; the one that is under way
    then is finished, and ends the window. `warmup_min_duration_ns` of warm-up go over into it; the conditions
    are read before, after the warm-up's queries. Where neither is asked for, nothing runs before the window.

    With `point_interval_ns` there is a point for each interval that has passed. At a point's end the board is
    read, between two queries; the window goes on meanwhile, and the board idles for as long as that takes,
    some milliseconds.
    """
    with no_garbage_collection():
        warm_up(query, request.warmup_min_queries, 0)
        before = take_before(board)
        warm_up(query, min(REWARM_QUERIES, request.warmup_min_queries), request.warmup_min_duration_ns)
        if request.point_interval_ns:
            done = _in_points(request, query, board)
        else:
            done = _at_once(request.duration_ns, query)
        after = take_after(board, uses_accelerator=uses_accelerator)
    done.samples = done.queries * batch_size
    done.before.CopyFrom(before)
    done.after.CopyFrom(after)
    return done


def _at_once(duration_ns: int, query: Query) -> engine_pb2.ChildWindowDone:
    clock = time.monotonic_ns
    queries = 0
    begin = clock()
    end_not_before = begin + duration_ns
    while True:
        query()
        queries += 1
        end = clock()
        if end >= end_not_before:
            break
    return engine_pb2.ChildWindowDone(begin_ns=begin, end_ns=end, queries=queries)


def _in_points(request: engine_pb2.ChildWindow, query: Query, board: BoardRoot) -> engine_pb2.ChildWindowDone:
    clock = time.monotonic_ns
    points: list[result_pb2.SustainedPoint] = []
    shown = throttle_shown(board)
    begin = end = clock()
    end_not_before = begin + request.duration_ns
    due = begin
    while True:
        # Intervals are counted from the start: what reading takes does not add up.
        due = min(max(due + request.point_interval_ns, clock()), end_not_before)
        latencies = timed_queries(query, 1, max(due - clock(), 0))
        end = clock()
        shown_before, shown = shown, throttle_shown(board)
        points.append(point_of(board, end - begin, latencies, throttled(shown_before, shown)))
        if end >= end_not_before:
            break
    queries = sum(point.queries for point in points)
    return engine_pb2.ChildWindowDone(begin_ns=begin, end_ns=end, queries=queries, points=points)


def point_of(
    board: BoardRoot, at_ns: int, latencies: array[int], is_throttled: bool
) -> result_pb2.SustainedPoint:
    """One interval's queries, and what the board shows at its end. Power is not for this process to read."""
    return result_pb2.SustainedPoint(
        at_ns=at_ns,
        p50_ns=percentile(latencies, 50),
        p99_ns=percentile(latencies, 99),
        queries=len(latencies),
        frequency_hz=processor.frequency_hz(board).value,
        temperature_millicelsius=thermal.temperature_millicelsius(board).value,
        throttled=is_throttled,
    )


def throttle_shown(board: BoardRoot) -> result_pb2.Snapshot:
    """Only what the board says of throttling."""
    return result_pb2.Snapshot(
        throttled_bits=throttling.throttled_bits(board).value,
        throttle_events=throttling.throttle_events(board).value,
    )


def throttled(before: result_pb2.Snapshot, after: result_pb2.Snapshot) -> bool:
    """The board is slowed down now, or was in between: a sticky bit that is new, an event more. Under-voltage
    alone is none of it: the clock is what a sustained load is watched for."""
    if after.throttled_bits & PI_SLOWED_NOW:
        return True
    if before.HasField("throttled_bits") and (
        after.throttled_bits & ~before.throttled_bits & PI_SLOWED_SINCE_BOOT
    ):
        return True
    return before.HasField("throttle_events") and after.throttle_events > before.throttle_events
