from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgemeter_converters.tasks.intervals import mean_interval, t_975, wilson_interval


@pytest.mark.parametrize(
    ("correct", "samples", "low", "high"),
    [
        # R: binom::binom.confint(x, n, methods = "wilson"), and Newcombe (1998), table I.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_as_published(correct: int, samples: int, low: float, high: float) -> None:
    assert wilson_interval(correct, samples) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_the_share(counts: tuple[int, int]) -> None:
    correct, samples = counts
    low, high = wilson_interval(correct, samples)
    assert 0 <= low <= correct / samples <= high <= 1
    assert low < high


@given(st.integers(0, 100))
def test_wilson_interval_is_symmetric(correct: int) -> None:
    low, high = wilson_interval(correct, 100)
    assert wilson_interval(100 - correct, 100) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 6, 10, 30, 255, 10_000])
def test_students_t_is_scipys(freedom: int) -> None:
    assert t_975(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-6)


def test_students_t_needs_a_degree_of_freedom() -> None:
    with pytest.raises(ValueError, match="at least 1 degree of freedom, not 0"):
        t_975(0)


def test_interval_of_a_mean_is_scipys() -> None:
    values = np.random.default_rng(1).normal(5, 2, 12)
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    assert mean_interval(values) == pytest.approx((expected.low, expected.high), rel=1e-6)


def test_one_value_has_no_interval() -> None:
    assert mean_interval(np.array([1.0])) is None


def test_interval_of_a_mean_holds_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        interval = mean_interval(rng.normal(3, 1, 4))
        assert interval is not None
        held += interval[0] <= 3 <= interval[1]
    # 95 %, give or take three standard errors.
    assert held / 1000 == pytest.approx(0.95, abs=0.021)
