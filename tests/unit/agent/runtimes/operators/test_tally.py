from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_agent.runtimes.operators.tally import Call, Span, calls_of, middle_mean, profile_of, timed


def span(name: str, begin: float, end: float, kind: str = "Op") -> Span:
    return Span(query=0, name=name, kind=kind, begin_ns=begin, end_ns=end)


def own(spans: list[Span]) -> dict[str, float]:
    return {call.name: call.ns for call in calls_of(spans)}


@pytest.mark.parametrize(
    ("spans", "times"),
    [
        ([span("a", 0, 10), span("b", 10, 15)], {"a": 10, "b": 5}),
        # a loop with two turns of its body, one of them with an operator of its own inside
        (
            [span("loop", 0, 100), span("x", 10, 40), span("y", 50, 90), span("z", 60, 70)],
            {"loop": 30, "x": 30, "y": 30, "z": 10},
        ),
        # the same moment: the longer one is around the other
        ([span("in", 0, 4), span("out", 0, 10)], {"in": 4, "out": 6}),
        # parts that add up to more than the whole, as clocks of different steps make them
        ([span("out", 0, 10), span("in", 1, 9), span("more", 9, 13)], {"out": 0, "in": 8, "more": 4}),
        ([], {}),
    ],
)
def test_own_time_is_without_what_is_inside(spans: list[Span], times: dict[str, float]) -> None:
    assert own(spans) == times
    assert own(list(reversed(spans))) == times


def call(query: int, name: str, kind: str, ns: float, ran_on: str = "") -> Call:
    return Call(query=query, name=name, kind=kind, ns=ns, ran_on=ran_on)


def test_operators_are_added_up_and_sorted() -> None:
    calls = [
        call(0, "c1", "Conv", 600, "CPU"),
        call(1, "c1", "Conv", 200, "CPU"),
        call(0, "g", "Gemm", 100, "CPU"),
        call(1, "g", "Gemm", 100, "CUDA"),
        *(call(query, "sum", "Add", 500 / 3) for query in (0, 1) for _ in range(3)),
    ]
    made = profile_of(calls, queries=2, query_ns=[900, 1500, 1100], source="a profiler")
    assert made.query_ns == 1100
    assert made.queries == 2
    assert not made.unavailable
    assert [
        (each.name, each.kind, each.ran_on, each.calls_per_query, round(each.ns_per_query, 6))
        for each in made.operators
    ] == [
        ("sum", "Add", "", 3, 500),
        ("c1", "Conv", "CPU", 1, 400),
        ("g", "Gemm", "CPU", 0.5, 50),
        ("g", "Gemm", "CUDA", 0.5, 50),
    ]
    assert [each.share for each in made.operators] == pytest.approx([0.5, 0.4, 0.05, 0.05])


def test_an_interrupted_query_is_no_operators_time() -> None:
    calls = [call(query, "c", "Conv", 9_000_000 if query == 7 else 1000) for query in range(8)]
    made = profile_of(calls, queries=8, query_ns=[1], source="a profiler")
    assert made.operators[0].ns_per_query == 1000
    assert made.operators[0].calls_per_query == 1


def test_whole_microseconds_average_out() -> None:
    """An operator of 0.5 µs is seen as 0 or 1: a median would be one of them."""
    assert middle_mean([0, 1, 0, 1, 0, 1, 0, 1]) == 0.5
    assert middle_mean([3]) == 3
    assert middle_mean([1, 2]) == 1.5


@given(
    st.integers(1, 20).flatmap(
        lambda queries: st.tuples(
            st.just(queries),
            st.lists(
                st.tuples(st.integers(0, queries - 1), st.sampled_from("abcdef"), st.integers(0, 10**9)),
                min_size=1,
                max_size=60,
            ),
        )
    )
)
def test_shares_add_up_to_one_and_calls_to_the_calls(made_of: tuple[int, list[tuple[int, str, int]]]) -> None:
    queries, seen = made_of
    calls = [call(query, name, name, ns) for query, name, ns in seen]
    made = profile_of(calls, queries=queries, query_ns=[1], source="a profiler")
    if made.unavailable:
        assert "faster than it can tell" in made.unavailable
        assert not made.operators
        return
    assert sum(each.share for each in made.operators) == pytest.approx(1, abs=1e-6)
    assert sum(each.calls_per_query for each in made.operators) == pytest.approx(len(calls) / queries)
    slowest_first = [each.ns_per_query for each in made.operators]
    assert slowest_first == sorted(slowest_first, reverse=True)
    for each in made.operators:
        of_each_query = [
            sum(one.ns for one in calls if one.query == query and one.name == each.name)
            for query in range(queries)
        ]
        assert min(of_each_query) <= each.ns_per_query <= max(of_each_query)


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 100)), max_size=30))
def test_own_times_never_exceed_the_time_that_passed(ends: list[tuple[int, int]]) -> None:
    """Properly nested spans: own times add up to the time that any of them covers."""
    spans, at = [], 0
    for number, (gap, length) in enumerate(ends):
        begin = at + gap
        spans += [span(f"out{number}", begin, begin + 3 * length), span(f"in{number}", begin, begin + length)]
        at = begin + 3 * length
    assert math.isclose(sum(call.ns for call in calls_of(spans)), sum(3 * length for _, length in ends))


def test_nothing_seen_is_said() -> None:
    made = profile_of([], queries=3, query_ns=[5], source="a profiler")
    assert made.unavailable == "a profiler: it saw no operator"


def test_every_query_is_timed() -> None:
    ran = []
    taken = timed(lambda: ran.append(1), 7)
    assert len(ran) == len(taken) == 7
    assert all(each >= 0 for each in taken)
