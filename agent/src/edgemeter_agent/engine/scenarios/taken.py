"""What a scenario takes, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgemeter_agent.engine.loop import Query
from edgemeter_protos.v1 import engine_pb2


@dataclass(frozen=True, kw_only=True)
class Taken:
    """The timed part of a block. All times in ns.

    Attributes:
        latency_ns: one for each timed query.
        duration_ns: of the whole, from before the first query to after the last; a server's from the moment
            from which arrivals are counted.
        samples: that went through the model in that time, those of untimed queries too.
        queueing_ns: server: from each query's arrival to its start.
        most_in_flight: server: most queries that had arrived and not ended at one moment.
        unserved_queries: server: the last so many of `latency_ns` had not begun when the block was given up;
            they have what was waited so far, here and in `queueing_ns`.
        last_arrival_ns: server: from the start of the timed part.
        lateness_p50_ns, lateness_max_ns: server: how long a query that could have started did not, for the
            loop's own sake: sleeping too long, writing down what was before.
    """

    latency_ns: Sequence[int]
    duration_ns: int
    samples: int
    queueing_ns: Sequence[int] = ()
    most_in_flight: int = 0
    unserved_queries: int = 0
    last_arrival_ns: int = 0
    lateness_p50_ns: int = 0
    lateness_max_ns: int = 0


Timed = Callable[[], Taken]

Scenario = Callable[[engine_pb2.ChildBlock, Query, int], Timed]
"""(request, a query that runs one batch, samples in a batch) -> what runs the timed part. All that can be
done beforehand is done when it is called, and raises ValueError, a line for the user, for a request that the
scenario can't serve."""


def refuse_grouping(request: engine_pb2.ChildBlock, scenario: str) -> None:
    """Raises ValueError where queries are to be averaged in a scenario in which each stands for itself."""
    if request.batch_queries > 1:
        raise ValueError(
            f"{request.batch_queries} queries in a sample: only single-stream averages over several;"
            f" in {scenario} each stands for itself"
        )
