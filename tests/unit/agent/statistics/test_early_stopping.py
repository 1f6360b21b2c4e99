from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemeter_agent.statistics.early_stopping import (
    early_stopping_estimate,
    min_queries,
    overlatency_queries,
)


@pytest.mark.parametrize(
    # MLPerf Inference's rules and LoadGen's log: "Need to process at least 64 queries for early stopping"
    ("percent", "queries"),
    [(90, 64), (99, 662)],
)
def test_the_fewest_queries_are_loadgens(percent: float, queries: int) -> None:
    assert min_queries(percent) == queries
    latencies = np.arange(float(queries))
    assert early_stopping_estimate(latencies[1:], percent) is None
    # One query may be over: none is discarded.
    assert early_stopping_estimate(latencies, percent) == queries - 1


def by_the_rules(queries: int, percent: float) -> int:
    """For t = 1, 2, ... the fewest h underlatency queries that t overlatency ones want, and the last t whose
    h + t are there: the search of the rules' appendix, with scipy's distribution; 0 for none."""
    binom = pytest.importorskip("scipy.stats").binom

    def enough(passing: int, over: int) -> bool:
        return bool(binom.cdf(over, passing + over, 1 - percent / 100) < 1 - 0.99)

    over, passing = 0, 1
    while True:
        while not enough(passing, over + 1):
            passing += 1
        if passing + over + 1 > queries:
            return over
        over += 1


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3000), st.sampled_from([50.0, 90.0, 95.0, 97.0, 99.0]))
def test_as_many_as_the_rules_search_finds(queries: int, percent: float) -> None:
    assert max(overlatency_queries(queries, percent), 0) == by_the_rules(queries, percent)


def test_the_estimate_is_among_the_highest() -> None:
    latencies = np.sort(np.random.default_rng(1).gamma(2, 100, 24_576))
    over = overlatency_queries(len(latencies), 90)
    estimate = early_stopping_estimate(latencies, 90)
    assert estimate == latencies[-over]
    # 2,457.6 expected, less 2.33 standard deviations of 47
    assert 2340 <= over <= 2355


def test_it_is_an_upper_bound_in_99_of_100_runs() -> None:
    random = np.random.default_rng(4)
    true = float(np.quantile(random.exponential(1, 2_000_000), 0.99))
    above = 0
    for _ in range(1000):
        estimate = early_stopping_estimate(np.sort(random.exponential(1, 1200)), 99)
        assert estimate is not None
        above += estimate >= true
    assert above >= 983
