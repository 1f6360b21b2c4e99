"""The timed loop."""

from __future__ import annotations

import contextlib
import gc
import time
from array import array
from collections.abc import Callable, Iterator
from itertools import repeat

Query = Callable[[], None]

FIRST_CAPACITY = 4096


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    """A collection in the middle of a query would be timed with it."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def warm_up(query: Query, min_queries: int, min_duration_ns: int) -> None:
    """Runs untimed until both are reached."""
    clock = time.perf_counter_ns
    end_ns = clock() + min_duration_ns
    for _ in repeat(None, min_queries):
        query()
    while clock() < end_ns:
        query()


def timed_queries(
    query: Query, min_samples: int, min_duration_ns: int, untimed_queries: int = 0
) -> array[int]:
    """Latencies in ns, one for each timed query.

    Ends when `min_samples` were taken and `min_duration_ns` has passed. A sample is one pair of
    CLOCK_MONOTONIC stamps (perf_counter_ns) around the call; storing it, growing the store, and running
    `untimed_queries` happens between samples.
    """
    clock = time.perf_counter_ns
    capacity = max(min_samples, FIRST_CAPACITY)
    latencies = array("q", bytes(8 * capacity))
    count = 0
    end_not_before = clock() + min_duration_ns
    while True:
        begin = clock()
        query()
        end = clock()
        latencies[count] = end - begin
        count += 1
        if count >= min_samples and end >= end_not_before:
            break
        if count == capacity:
            latencies.frombytes(bytes(8 * capacity))
            capacity *= 2
        for _ in repeat(None, untimed_queries):
            query()
    return latencies[:count]


def repeated(query: Query, times: int) -> Query:
    """So many queries as one."""
    if times == 1:
        return query

    def run() -> None:
        for _ in repeat(None, times):
            query()

    return run
