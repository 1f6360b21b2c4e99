from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgemeter_converters import datasets
from edgemeter_converters.datasets.dataset import Samples
from edgemeter_converters.datasets.digests import sample_digest, sample_digests


def numbered(first: int, samples: int) -> np.ndarray:
    """Samples of (2, 3), all different."""
    return np.arange(first * 6, (first + samples) * 6, dtype=np.float32).reshape(samples, 2, 3)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(numbered(1, 3), id="other numbers"),
        pytest.param(numbered(0, 3)[::-1], id="another order"),
        pytest.param(numbered(0, 3).reshape(3, 3, 2), id="another shape"),
        pytest.param(numbered(0, 3).astype(np.float64), id="another type"),
    ],
)
def test_digests_tell_splits_apart(other: np.ndarray) -> None:
    assert datasets.inputs_digest((other,)) != datasets.inputs_digest((numbered(0, 3),))


def test_digests_do_not_depend_on_how_memory_is_laid_out() -> None:
    array = numbered(0, 4)
    for same in (np.asfortranarray(array), array.astype(">f4"), np.repeat(array, 2, axis=0)[::2]):
        assert datasets.inputs_digest((same,)) == datasets.inputs_digest((array,))


def test_labels_count_in_the_digest_of_samples() -> None:
    inputs = (numbered(0, 2),)
    digests = {
        datasets.samples_digest(Samples(inputs=inputs)),
        datasets.samples_digest(Samples(inputs=inputs, labels=np.array([0, 1]))),
        datasets.samples_digest(Samples(inputs=inputs, labels=np.array([1, 0]))),
    }
    assert len(digests) == 3


@given(
    arrays=st.lists(
        hnp.arrays(
            st.sampled_from([np.uint8, np.float32, np.int64]),
            st.tuples(st.just(5), st.integers(1, 3), st.integers(1, 2)),
            elements=st.integers(0, 1),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_digests_of_samples_at_once_are_those_of_each(arrays: list[np.ndarray]) -> None:
    inputs = tuple(arrays)
    at_once = list(sample_digests(inputs))
    assert at_once == [sample_digest(inputs, index) for index in range(5)]
    for first, second in itertools.combinations(range(5), 2):
        same = all(np.array_equal(array[first], array[second]) for array in arrays)
        assert (at_once[first] == at_once[second]) == same


def test_digests_of_samples_that_lie_scattered() -> None:
    array = numbered(0, 6)
    scattered = np.asfortranarray(array)[::-1]
    assert list(sample_digests((scattered,))) == list(sample_digests((array,)))[::-1]
