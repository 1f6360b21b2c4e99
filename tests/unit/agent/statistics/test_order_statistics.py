from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemeter_agent.statistics.order_statistics import order_statistic_interval
from edgemeter_agent.statistics.percentiles import percentile


def ranks(count: int, percent: float) -> tuple[int | None, int | None]:
    """Counted from 1, as tables have them."""
    ends = order_statistic_interval(np.arange(1.0, count + 1), percent)
    return (
        None if ends.low is None else int(ends.low),
        None if ends.high is None else int(ends.high),
    )


@pytest.mark.parametrize(
    ("count", "percent", "low", "high"),
    [
        # Conover, "Practical Nonparametric Statistics": the sign test's tables; P(X <= 1 | 10, 1/2) = 0.0107
        (10, 50, 2, 9),
        # P(X = 0 | 6, 1/2) = 0.0156; five samples can't tell, 1/32 = 0.031
        (6, 50, 1, 6),
        (5, 50, None, None),
        (100, 50, 40, 61),
        # 0.9^35 = 0.02503, 0.9^36 = 0.0225
        (35, 90, 28, None),
        (36, 90, 29, 36),
        # 0.99^367 = 0.02502, 0.99^368 = 0.0248
        (367, 99, 359, None),
        (368, 99, 360, 368),
        (3687, 99.9, 3679, None),
        (3688, 99.9, 3680, 3688),
        (0, 50, None, None),
    ],
)
def test_ranks(count: int, percent: float, low: int | None, high: int | None) -> None:
    assert ranks(count, percent) == (low, high)


@settings(deadline=None)
@given(st.integers(1, 5000), st.floats(0.1, 99.9))
def test_both_tails_are_small_and_no_narrower_pair_would_do(count: int, percent: float) -> None:
    binom = pytest.importorskip("scipy.stats").binom
    share = percent / 100
    low, high = ranks(count, percent)
    # The order statistic of rank r is above the percentile where fewer than r samples are below it.
    if low is not None:
        assert binom.cdf(low - 1, count, share) <= 0.025 + 1e-9
    assert binom.cdf(low or 0, count, share) > 0.025 - 1e-9
    if high is not None:
        assert binom.sf(high - 1, count, share) <= 0.025 + 1e-9
    assert binom.sf((high or count + 1) - 2, count, share) > 0.025 - 1e-9


@settings(deadline=None)
@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=300), st.floats(0.1, 99.9))
def test_the_percentile_is_inside(samples: list[int], percent: float) -> None:
    ordered = np.sort(np.array(samples, np.float64))
    ends = order_statistic_interval(ordered, percent)
    value = percentile(ordered, percent)
    assert ends.low is None or ends.low <= value
    assert ends.high is None or ends.high >= value


@pytest.mark.parametrize("percent", [50, 90, 99])
def test_it_covers_the_true_percentile_of_independent_samples(percent: float) -> None:
    random = np.random.default_rng(8)
    true = float(np.quantile(np.sort(random.gamma(2, 1, 2_000_000)), percent / 100))
    low, high = ranks(700, percent)
    assert low is not None
    assert high is not None
    binom = pytest.importorskip("scipy.stats").binom
    stated = binom.cdf(high - 1, 700, percent / 100) - binom.cdf(low - 1, 700, percent / 100)
    assert stated >= 0.95
    runs, covered = 1000, 0
    for _ in range(runs):
        ends = order_statistic_interval(np.sort(random.gamma(2, 1, 700)), percent)
        assert ends.low is not None
        assert ends.high is not None
        covered += ends.low <= true <= ends.high
    # 1,000 runs tell it to +-1.4 %.
    assert covered / runs == pytest.approx(stated, abs=0.02)


@pytest.mark.parametrize("percent", [0, 100, -1, 101])
def test_the_ends_have_no_interval(percent: float) -> None:
    with pytest.raises(ValueError, match="no order statistics"):
        order_statistic_interval(np.arange(10.0), percent)
