"""k-means over single numbers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_converters.compress import kmeans

NUMBERS = st.lists(
    st.floats(min_value=-1e3, max_value=1e3, allow_nan=False, width=32), min_size=1, max_size=60
)


def test_finds_well_parted_clusters() -> None:
    values = np.array([[-5.1, -4.9, 0.1], [-0.1, 7.0, 7.2]])
    indices, centroids = kmeans.cluster(values, 3)
    np.testing.assert_array_equal(indices, [[0, 0, 1], [1, 2, 2]])
    np.testing.assert_allclose(centroids, [-5.0, 0.0, 7.1], atol=1e-12)


@pytest.mark.parametrize("clusters", [2, 3, 16])
@given(numbers=NUMBERS)
def test_each_value_goes_to_the_nearest_centroid(clusters: int, numbers: list[float]) -> None:
    values = np.array(numbers)
    indices, centroids = kmeans.cluster(values, clusters)
    assert len(centroids) <= clusters
    assert all(low < high for low, high in pairwise(centroids))
    np.testing.assert_array_equal(np.unique(indices), np.arange(len(centroids)))
    distance = np.abs(values[:, None] - centroids)
    np.testing.assert_allclose(distance[np.arange(len(values)), indices], distance.min(axis=1), atol=1e-9)


@given(numbers=NUMBERS)
def test_few_different_values_stay_as_they_are(numbers: list[float]) -> None:
    values = np.array(numbers)
    indices, centroids = kmeans.cluster(values, len(np.unique(values)) + 1)
    np.testing.assert_array_equal(centroids[indices], values)


@pytest.mark.parametrize("clusters", [2, 4])
@given(numbers=NUMBERS)
def test_held_zeros_stay_zero_and_nothing_joins_them(clusters: int, numbers: list[float]) -> None:
    values = np.array([0.0, *numbers])
    indices, centroids = kmeans.cluster(values, clusters, hold_zero=True)
    assert len(centroids) <= clusters
    assert centroids[0] == 0.0
    np.testing.assert_array_equal(indices == 0, values == 0)


def test_sixteen_values_hold_most_of_a_layer() -> None:
    weights = np.random.default_rng(0).normal(size=(64, 32))
    indices, centroids = kmeans.cluster(weights, 16)
    error = np.mean((centroids[indices] - weights) ** 2) / np.mean(weights**2)
    # The best 16-level quantizer of a normal distribution loses .0095 (Max, IRE Trans. IT-6, 1960, table I).
    assert 0.007 < error < 0.012
