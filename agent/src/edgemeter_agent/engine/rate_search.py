"""The highest rate of arrivals at which a server keeps its latency under a bound: pure.

Whoever searches asks `next_rate` with the probes so far, runs a server block at the rate that it says, adds a
probe, and asks again, until it says `Found`. First the rate is raised, or lowered, by a factor until one
holds and one fails; then the gap is halved (geometrically) to 5 %. A probe near the edge may err either way,
so both edges of the last gap are probed again, and where two probes of a rate differ a third decides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgemeter_protos.v1 import result_pb2

START_SHARE = 0.5
"""Of what one query after another would give."""
RAISE = 1.5
LOWER = 2.0
PRECISION = 1.05
LEAST_SHARE = 1 / 16
"""Of what one query after another would give: below it hardly any query waits for another, and a bound that
does not hold is not the rate's fault."""
CONFIRMED = 2
MOST_PROBES = 32
MOST_LEFT = 0.05
"""Of the time of the arrivals: a server that keeps up ends soon after the last one."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Attributes:
    highest_qps: None where no rate holds the bound.
    settled: False where the probes contradicted each other until there were too many.
    """

    highest_qps: float | None
    settled: bool


def next_rate(probes: Sequence[result_pb2.RateProbe], service_ns: float, bound_ns: float) -> float | Found:
    """The rate to try next, in arrivals a second, or what was found. `service_ns` is the latency of a query
    that waits for nobody."""
    if service_ns > bound_ns:
        return Found(highest_qps=None, settled=True)
    capacity_qps = 1e9 / max(service_ns, 1.0)
    if not probes:
        return START_SHARE * capacity_qps
    votes = _votes(probes)
    high = min((rate for rate, vote in votes.items() if vote.failed > vote.held), default=None)
    low = max(
        (rate for rate, vote in votes.items() if vote.held > vote.failed and (high is None or rate < high)),
        default=None,
    )
    if len(probes) >= MOST_PROBES:
        return Found(highest_qps=low, settled=False)
    undecided = [rate for rate, vote in votes.items() if vote.held == vote.failed]
    if undecided:
        return undecided[0]
    if low is None:
        # Every rate has been decided, and none below the lowest that failed has held.
        lower = min(votes) / LOWER
        return lower if lower >= LEAST_SHARE * capacity_qps else Found(highest_qps=None, settled=True)
    if high is None:
        return low * RAISE
    if high / low > PRECISION:
        return math.sqrt(low * high)
    for edge in (low, high):
        if votes[edge].held + votes[edge].failed < CONFIRMED:
            return edge
    return Found(highest_qps=low, settled=True)


def held(
    *, latency_ns: float, bound_ns: float, unserved_queries: int, duration_ns: int, last_arrival_ns: int
) -> bool:
    """Whether a server's block held its bound: the bounded percentile (`latency_ns`) is not above it, nothing
    was left unserved, and the backlog was gone soon after the last arrival. Without the latter a block that
    is short against its bound would pass at any rate."""
    left_ns = duration_ns - last_arrival_ns
    allowed_ns = MOST_LEFT * last_arrival_ns
    keeps_up = left_ns <= allowed_ns + min(bound_ns, allowed_ns)
    return latency_ns <= bound_ns and not unserved_queries and keeps_up


@dataclass
class _Vote:
    held: int = 0
    failed: int = 0


def _votes(probes: Sequence[result_pb2.RateProbe]) -> dict[float, _Vote]:
    votes: dict[float, _Vote] = {}
    for probe in probes:
        vote = votes.setdefault(probe.target_qps, _Vote())
        if probe.held:
            vote.held += 1
        else:
            vote.failed += 1
    return votes
