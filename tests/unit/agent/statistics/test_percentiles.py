from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemeter_agent.statistics.outliers import count_outliers, mark_outliers
from edgemeter_agent.statistics.percentiles import percentile

latencies = st.lists(st.integers(1, 10**12), min_size=1, max_size=200)


@settings(deadline=None)
@given(latencies, st.floats(0.5, 100))
def test_at_least_so_many_samples_are_not_above_and_no_smaller_sample_would_do(
    samples: list[int], percent: float
) -> None:
    found = percentile(samples, percent)
    assert found in samples
    # numpy computes the rank in floating point; a rank that is off by rounding is not ours to test
    not_above = sum(sample <= found for sample in samples)
    below = sum(sample < found for sample in samples)
    assert not_above / len(samples) * 100 >= percent - 1e-6
    assert below / len(samples) * 100 <= percent + 1e-6


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1), (10, 1), (50, 5), (90, 9), (90.1, 10), (99, 10), (100, 10)]
)
def test_nearest_rank_of_ten(percent: float, expected: int) -> None:
    assert percentile(np.arange(10, 0, -1), percent) == expected


def test_no_samples() -> None:
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 50)


@pytest.mark.parametrize(
    ("samples", "outliers"),
    [
        ([], 0),
        ([7], 0),
        # all alike
        ([5] * 10, 0),
        # median 5, MAD 2: 3.5 * 1.4826 * 2 = 10.4 away
        ([1, 3, 5, 5, 7, 9, 15], 0),
        ([1, 3, 5, 5, 7, 9, 16], 1),
        # more than half alike: the MAD is 0, the mean deviation is 20
        ([10] * 49 + [1010], 1),
        # both tails
        ([-1000, *range(100), 1000], 2),
    ],
)
def test_outliers(samples: list[int], outliers: int) -> None:
    assert count_outliers(np.array(samples, np.int64)) == outliers


@settings(deadline=None)
@given(latencies, st.integers(2, 1000))
def test_outliers_do_not_depend_on_the_unit(samples: list[int], factor: int) -> None:
    # powers of two scale exactly
    scale = 2 ** (factor % 10)
    assert count_outliers(np.array(samples, np.float64) * scale) == count_outliers(samples)


@settings(deadline=None)
@given(latencies)
def test_those_that_are_marked_are_those_that_are_counted(samples: list[int]) -> None:
    marked = mark_outliers(samples)
    assert marked.dtype == np.bool_
    assert marked.shape == (len(samples),)
    assert np.count_nonzero(marked) == count_outliers(samples)


def test_the_far_one_is_marked_in_its_place() -> None:
    assert list(mark_outliers([10, 11, 900, 10, 9, 12])) == [False, False, True, False, False, False]
