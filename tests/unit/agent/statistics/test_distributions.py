from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgemeter_agent.statistics.distributions import (
    beta_regularized,
    binomial_cdf,
    binomial_quantile_below,
    student_t_quantile,
    student_t_two_sided,
)

scipy_special = pytest.importorskip("scipy.special")
scipy_stats = pytest.importorskip("scipy.stats")


@settings(deadline=None)
@given(st.floats(0, 1, allow_subnormal=False), st.floats(0.01, 1e5), st.floats(0.01, 1e5))
def test_the_incomplete_beta_function(x: float, a: float, b: float) -> None:
    expected = float(scipy_special.betainc(a, b, x))
    assume(expected == 0 or expected > 1e-200)
    assert beta_regularized(x, a, b) == pytest.approx(expected, rel=1e-7, abs=1e-13)


@pytest.mark.parametrize(
    ("x", "a", "b"), [(-0.1, 1, 1), (1.1, 1, 1), (0.5, 0, 1), (0.5, 1, -1), (math.nan, 1, 1)]
)
def test_where_it_does_not_exist(x: float, a: float, b: float) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        beta_regularized(x, a, b)


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(1, 40), st.integers(1, 99))
def test_the_binomial_distribution_is_exact(count: int, trials: int, percent: int) -> None:
    share = Fraction(percent, 100)
    expected = sum(
        math.comb(trials, successes) * share**successes * (1 - share) ** (trials - successes)
        for successes in range(min(count, trials) + 1)
    )
    assert binomial_cdf(count, trials, percent / 100) == pytest.approx(float(expected), rel=1e-10)


def test_no_success_less_than_none() -> None:
    assert binomial_cdf(-1, 10, 0.5) == 0


@settings(deadline=None)
@given(st.integers(1, 2_000_000), st.floats(0.0005, 0.9995), st.sampled_from([0.005, 0.01, 0.025, 0.25]))
def test_the_binomial_quantile_is_the_last_that_is_unlikely(
    trials: int, probability: float, tail: float
) -> None:
    found = binomial_quantile_below(trials, probability, tail)
    assert -1 <= found < trials
    # Beyond lgamma's rounding, which at two million trials is 1e-8.
    if found >= 0:
        assert scipy_stats.binom.cdf(found, trials, probability) <= tail * (1 + 1e-6)
    assert scipy_stats.binom.cdf(found + 1, trials, probability) > tail * (1 - 1e-6)


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1, 1e4))
def test_the_tails_of_students_t(t: float, freedom: float) -> None:
    expected = 2 * float(scipy_stats.t.sf(abs(t), freedom))
    assume(expected > 1e-200)
    assert student_t_two_sided(t, freedom) == pytest.approx(expected, rel=1e-7)


@settings(deadline=None)
@given(st.floats(1e-9, 1 - 1e-9), st.floats(1, 1e4))
def test_the_quantiles_of_students_t(probability: float, freedom: float) -> None:
    expected = float(scipy_stats.t.ppf(probability, freedom))
    assert student_t_quantile(probability, freedom) == pytest.approx(expected, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(
    ("probability", "freedom", "expected"),
    # Abramowitz & Stegun, table 26.10
    [(0.975, 1, 12.706), (0.975, 2, 4.303), (0.995, 4, 4.604), (0.95, 30, 1.697), (0.025, 2, -4.303)],
)
def test_tabled_quantiles(probability: float, freedom: int, expected: float) -> None:
    assert student_t_quantile(probability, freedom) == pytest.approx(expected, abs=5e-4)


def test_nothing_is_beyond_infinity() -> None:
    assert student_t_two_sided(math.inf, 3) == 0


@pytest.mark.parametrize("probability", [0.0, 1.0, -1.0, 2.0])
def test_no_quantile_of_what_is_no_probability(probability: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        student_t_quantile(probability, 3)


def test_no_students_t_without_freedom() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        student_t_two_sided(1.0, 0.5)
