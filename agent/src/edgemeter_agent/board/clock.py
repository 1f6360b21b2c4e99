"""The board's clock of the day against the one that measurements use."""

from __future__ import annotations

import time

TRIES = 3
CLOSE_NS = 50_000


def realtime_offset_ns() -> int:
    """CLOCK_REALTIME minus CLOCK_MONOTONIC: it drifts while NTP slews the clock (at most 500 ppm,
    adjtimex(2)), and jumps where somebody sets it.

    The two can't be read at once; of some tries the one in which least time passed counts, so that a process
    that lost its processor in between sees no jump.
    """
    best_ns, offset_ns = 0, 0
    for attempt in range(TRIES):
        begin_ns = time.monotonic_ns()
        realtime_ns = time.time_ns()
        end_ns = time.monotonic_ns()
        if attempt == 0 or end_ns - begin_ns < best_ns:
            best_ns, offset_ns = end_ns - begin_ns, realtime_ns - (begin_ns + end_ns) // 2
        if best_ns < CLOSE_NS:
            break
    return offset_ns
