"""From a profiler's events to one form for all runtimes. Pure, but for the clock around queries."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edgemeter_protos.v1 import result_pb2

WARM_UP_QUERIES = 3
"""Left out of a profile: the first prepares memory, TorchScript's first two its graph."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One run of an operator."""

    query: int
    """From 0."""
    name: str
    kind: str
    ns: float
    ran_on: str = ""


@dataclass(frozen=True, kw_only=True)
class Span:
    """A call with its place in time, on one thread: ns on any clock."""

    query: int
    name: str
    kind: str
    begin_ns: float
    end_ns: float
    ran_on: str = ""


def calls_of(spans: Iterable[Span]) -> list[Call]:
    """Each span's own time, without that of the spans within it: an operator that runs a graph (a loop, a
    delegate) would else be counted with its parts."""
    ordered = sorted(spans, key=lambda span: (span.begin_ns, -span.end_ns))
    own = [span.end_ns - span.begin_ns for span in ordered]
    around: list[int] = []
    for number, span in enumerate(ordered):
        while around and ordered[around[-1]].end_ns <= span.begin_ns:
            around.pop()
        if around:
            own[around[-1]] -= span.end_ns - span.begin_ns
        around.append(number)
    return [
        Call(query=span.query, name=span.name, kind=span.kind, ns=max(ns, 0.0), ran_on=span.ran_on)
        for span, ns in zip(ordered, own, strict=True)
    ]


def profile_of(
    calls: Iterable[Call], *, queries: int, query_ns: Sequence[int], source: str
) -> result_pb2.OperatorProfile:
    """Calls with the same name, kind and place are one operator. Its time a query is the mean over the middle
    half of the queries: what interrupted one is no operator's, and whole µs still average out.

    Args:
        query_ns: each query's duration while profiled.
    """
    times: dict[tuple[str, str, str], int] = {}
    spent: dict[tuple[str, str, str], list[float]] = {}
    for call in calls:
        key = (call.name, call.kind, call.ran_on)
        times[key] = times.get(key, 0) + 1
        spent.setdefault(key, [0.0] * queries)[call.query] += call.ns
    if not spent:
        return result_pb2.OperatorProfile(unavailable=f"{source}: it saw no operator", source=source)
    ns = {key: middle_mean(each) for key, each in spent.items()}
    total = sum(ns.values())
    if total <= 0:
        return result_pb2.OperatorProfile(
            unavailable=f"{source}: every operator is faster than it can tell", source=source
        )
    return result_pb2.OperatorProfile(
        source=source,
        queries=queries,
        query_ns=statistics.median(query_ns),
        operators=[
            result_pb2.Operator(
                name=key[0],
                kind=key[1],
                calls_per_query=times[key] / queries,
                ns_per_query=ns[key],
                share=ns[key] / total,
                ran_on=key[2],
            )
            for key in sorted(spent, key=lambda key: (-ns[key], key))
        ],
    )


def middle_mean(values: Sequence[float]) -> float:
    """The interquartile mean: a quarter is cut off at either end, rounded down."""
    cut = len(values) // 4
    kept = sorted(values)[cut : len(values) - cut]
    return statistics.fmean(kept)


def timed(query: Callable[[], None], queries: int) -> list[int]:
    """Each query's duration, CLOCK_MONOTONIC, ns."""
    clock = time.perf_counter_ns
    taken = []
    for _ in range(queries):
        begin = clock()
        query()
        taken.append(clock() - begin)
    return taken
