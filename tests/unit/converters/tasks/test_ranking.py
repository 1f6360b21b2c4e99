from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemeter_converters.tasks import ranking

stats = pytest.importorskip("scipy.stats")
metrics = pytest.importorskip("sklearn.metrics")

VALUES = st.lists(st.integers(-5, 5), min_size=2, max_size=40)


@given(VALUES)
def test_midranks_as_scipy(values: list[int]) -> None:
    assert ranking.midranks(np.array(values)).tolist() == stats.rankdata(values).tolist()


@settings(deadline=None)
@given(VALUES, st.integers(0, 2**32 - 1))
def test_auc_as_sklearn_and_mann_whitney(values: list[int], seed: int) -> None:
    scores = np.array(values, dtype=np.float64)
    positive = np.random.default_rng(seed).random(len(scores)) < 0.5
    positive[:2] = True, False
    area = ranking.auc(scores, positive)
    assert area == pytest.approx(metrics.roc_auc_score(positive, scores))
    statistic = stats.mannwhitneyu(scores[positive], scores[~positive]).statistic
    assert area == pytest.approx(statistic / (positive.sum() * (~positive).sum()))
    interval = ranking.auc_interval(scores, positive)
    assert interval is None or 0 <= interval[0] < area < interval[1] <= 1


def test_delong_variance_by_its_definition() -> None:
    generator = np.random.default_rng(4)
    positive = np.arange(60) < 25
    scores = (generator.normal(size=60) + positive).round(1)
    above, below = scores[positive], scores[~positive]
    wins = (above[:, None] > below) + 0.5 * (above[:, None] == below)
    variance = wins.mean(axis=1).var(ddof=1) / 25 + wins.mean(axis=0).var(ddof=1) / 35
    area = wins.mean()
    interval = ranking.auc_interval(scores, positive)
    assert interval is not None
    low, high = (np.log(each / (1 - each)) for each in interval)
    assert (high - low) / 2 / 1.959964 * area * (1 - area) == pytest.approx(np.sqrt(variance))
    assert (high + low) / 2 == pytest.approx(np.log(area / (1 - area)))


def test_auc_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Normal scores, one standard deviation apart: AUC is Φ(1/√2)."""
    generator = np.random.default_rng(0)
    positive = np.arange(80) < 30
    truth = stats.norm.cdf(1 / np.sqrt(2))
    intervals = [ranking.auc_interval(generator.normal(size=80) + positive, positive) for _ in range(500)]
    held = np.mean([each is not None and each[0] <= truth <= each[1] for each in intervals])
    assert 0.93 <= held <= 0.97


@pytest.mark.parametrize(
    "scores", [pytest.param([1, 2, 3, 4], id="all in order"), pytest.param([3, 4, 1, 2], id="none")]
)
def test_no_interval_where_nothing_varies(scores: list[int]) -> None:
    positive = np.array([False, False, True, True])
    assert ranking.auc_interval(np.array(scores), positive) is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=2, max_size=30))
def test_rank_correlation_as_scipy(pairs: list[tuple[int, int]]) -> None:
    these, those = np.array(pairs).T
    ours = ranking.rank_correlation(these, those)
    if len(set(these)) == 1 or len(set(those)) == 1:
        assert ours is None
        return
    assert ours == pytest.approx(stats.spearmanr(these, those).statistic)


def test_rank_correlation_interval() -> None:
    # By hand: atanh(0.8) = 1.0986; √(1.32 / 47) = 0.16759.
    low, high = ranking.rank_correlation_interval(0.8, 50) or (0, 0)
    assert (low, high) == pytest.approx((np.tanh(1.0986 - 0.32847), np.tanh(1.0986 + 0.32847)), abs=1e-4)
    assert ranking.rank_correlation_interval(1.0, 50) is None
    assert ranking.rank_correlation_interval(0.5, 9) is None
