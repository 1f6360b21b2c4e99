"""A line that rises where values rise, has gaps where there are none, and fits."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_protos.report.sparkline import BARS, GAP, grouped, marker, sparkline


@pytest.mark.parametrize(
    ("values", "text"),
    [
        pytest.param([], "", id="nothing"),
        pytest.param([None, None], "", id="nothing was read"),
        pytest.param([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█", id="rising"),
        pytest.param([5, 5, 5], "▅▅▅", id="neither rising nor falling"),
        pytest.param([1, None, 2], "▁ █", id="a gap"),
        pytest.param([-10, 10], "▁█", id="below zero"),
    ],
)
def test_lines(values: Sequence[float | None], text: str) -> None:
    assert sparkline(values) == text


@given(st.lists(st.none() | st.floats(-1e12, 1e12), max_size=300), st.integers(1, 80))
def test_it_fits_and_has_a_character_a_group(values: list[float | None], width: int) -> None:
    line = sparkline(values, width)
    assert set(line) <= {*BARS, GAP}
    assert len(line) in (0, min(len(values), width))
    assert bool(line) == any(value is not None for value in values)


def test_neighbours_are_averaged_and_gaps_left_out() -> None:
    assert grouped([1, 3, None, 7, None, None], 3) == [2, 7, None]


@pytest.mark.parametrize(
    ("position", "of", "width", "column"), [(0, 5, 60, 0), (4, 5, 60, 4), (50, 100, 10, 5)]
)
def test_the_marker_points_at_its_value(position: int, of: int, width: int, column: int) -> None:
    assert marker(position, of, width) == " " * column + "^"
