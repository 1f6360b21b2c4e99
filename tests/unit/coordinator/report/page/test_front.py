"""The Pareto front: nothing on it is dominated, everything off it is."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_coordinator.report.page.front import dominates, front

COSTS = st.integers(0, 5).map(float) | st.floats(0, 1e6)
POINTS = st.lists(st.tuples(COSTS, COSTS), max_size=30)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([(1, 1)], [0], id="alone"),
        pytest.param([(2, 1), (1, 2)], [1, 0], id="by their first cost"),
        pytest.param([(1, 1), (2, 2)], [0], id="one beats the other in both"),
        pytest.param([(1, 1), (1, 2)], [0], id="alike in one, worse in the other"),
        pytest.param([(1, 1), (1, 1)], [0, 1], id="twins are on it together"),
        pytest.param([(0, 0), (1, 1), (1, 1)], [0], id="twins are off it together"),
    ],
)
def test_front(points: list[tuple[float, float]], expected: list[int]) -> None:
    assert front(points) == expected


@given(POINTS)
def test_no_point_of_it_is_dominated_and_every_other_is(points: list[tuple[float, float]]) -> None:
    kept = set(front(points))
    for index, point in enumerate(points):
        beaten = any(dominates(other, point) for other in points)
        assert beaten == (index not in kept)


@given(POINTS.filter(bool))
def test_it_falls_from_the_first_cost_to_the_last(points: list[tuple[float, float]]) -> None:
    kept = [points[index] for index in front(points)]
    assert kept
    assert all(one == other or (one[0] < other[0] and one[1] > other[1]) for one, other in pairwise(kept))


@given(POINTS, st.randoms())
def test_the_order_of_points_does_not_matter(points: list[tuple[float, float]], random: object) -> None:
    shuffled = list(points)
    getattr(random, "shuffle")(shuffled)  # noqa: B009 - hypothesis hands out random.Random as an object
    assert sorted(points[index] for index in front(points)) == sorted(
        shuffled[index] for index in front(shuffled)
    )
