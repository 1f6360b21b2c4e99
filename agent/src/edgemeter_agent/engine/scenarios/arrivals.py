"""When a server's queries arrive, and what follows from that: pure."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import repeat

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]
"""In ns from the start of the timed part."""

MAX_ARRIVALS = 1 << 22
"""In a block: four numbers of 8 bytes each take 128 MB."""
MAX_OFFSET_NS = 1 << 60
"""36 years: beyond it a sum of times would leave 64 bits."""
OVERLOAD_FACTOR = 2
"""A block that takes so many times longer than its arrivals is given up: queries come faster than they are
served, and the backlog would only grow."""
OVERLOAD_LEAST_NS = 1_000_000_000
"""Over its arrivals a block takes at least so much before it counts as overloaded: a few slow queries of a
short block are no backlog."""


def arrival_times(target_qps: float, seed: int, min_queries: int, min_duration_ns: int) -> Times:
    """A Poisson process of `target_qps` arrivals a second: gaps are exponential, the same for the same
    seed.

    All arrivals within `min_duration_ns`, and at least `min_queries` and one. How many there are depends on
    no latency, so that a slow query neither skips nor delays an arrival (no coordinated omission). Raises
    ValueError, a line for the user, for a rate that is none, and for more arrivals than fit in memory.
    """
    if not (math.isfinite(target_qps) and target_qps > 0):
        raise ValueError(f"a server needs a rate of arrivals above 0, and target_qps is {target_qps:g}")
    # In mean gaps, so that a change of rate with the same seed stretches the same arrivals.
    horizon = min_duration_ns * 1e-9 * target_qps
    expected = max(horizon, float(min_queries))
    if expected > MAX_ARRIVALS:
        raise ValueError(
            f"about {expected:.3g} arrivals in a block, and {MAX_ARRIVALS:,} fit in memory:"
            " lower target_qps or the block's duration"
        )
    uniform = random.Random(seed).random  # noqa: S311
    drawn = math.ceil(expected + 6 * math.sqrt(expected)) + 16
    arrivals = np.cumsum(_gaps(uniform, drawn))
    while arrivals[-1] < horizon:
        arrivals = np.append(arrivals, arrivals[-1] + np.cumsum(_gaps(uniform, drawn)))
    count = max(int(np.searchsorted(arrivals, horizon)), min_queries, 1)
    times = np.rint(arrivals[:count] * (1e9 / target_qps))
    if times[-1] > MAX_OFFSET_NS:
        raise ValueError(f"{count} arrivals at {target_qps:g} a second take years: raise target_qps")
    return times.astype(np.int64)


def _gaps(uniform: Callable[[], float], count: int) -> npt.NDArray[np.float64]:
    """Exponential, of mean 1, by inversion. Python's own generator, whose numbers are the same in all
    versions: importing numpy's takes 6 MB, which would be counted as the model's."""
    drawn = np.fromiter((uniform() for _ in repeat(None, count)), np.float64, count)
    return -np.log1p(-drawn)


def give_up_after_ns(last_arrival_ns: int) -> int:
    """From the start of the timed part: when a backlog is no longer served."""
    return max(OVERLOAD_FACTOR * last_arrival_ns, last_arrival_ns + OVERLOAD_LEAST_NS)


def most_in_flight(arrivals: Times, ends: Times) -> int:
    """Most queries that had arrived and not ended at one moment: it is reached at an arrival. `arrivals` of
    all queries, `ends` of those that ended; both ascend, as with one server and first come, first served. A
    query that ends in the very nanosecond of an arrival has left."""
    arrived = np.arange(1, len(arrivals) + 1)
    return int(np.max(arrived - np.searchsorted(ends, arrivals, side="right"), initial=0))


def lateness(arrivals: Times, starts: Times, ends: Times) -> Times:
    """Of each query that was served: its start after both its arrival and the end of the one before. It is
    the loop's own doing, and part of the query's latency all the same."""
    free_since = np.concatenate([np.zeros(1, np.int64), ends[:-1]])[: len(starts)]
    late: Times = starts - np.maximum(arrivals[: len(starts)], free_since)
    return late
