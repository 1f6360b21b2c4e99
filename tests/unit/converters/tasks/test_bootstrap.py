from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgemeter_converters.tasks import bootstrap


def test_the_mean_of_a_sample_as_the_normal_formula() -> None:
    values = np.random.default_rng(0).normal(size=400)

    def mean(draws: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(draws @ values / draws.sum(axis=1))

    low, high = bootstrap.interval(mean, 400) or (0, 0)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=half / 4)
    assert bootstrap.interval(mean, 400) == (low, high)


def test_draws_are_as_many_as_samples() -> None:
    seen = []

    def count(draws: NDArray[np.float64]) -> NDArray[np.float64]:
        seen.append(draws)
        return draws[:, 0]

    bootstrap.interval(count, 12)
    draws = np.concatenate(seen)
    assert draws.shape == (bootstrap.RESAMPLES, 12)
    assert (draws.sum(axis=1) == 12).all()


@pytest.mark.parametrize(
    ("samples", "value"),
    [pytest.param(9, None, id="too few"), pytest.param(50, 1.0, id="nothing varies"), (50, np.nan)],
)
def test_none(samples: int, value: float | None) -> None:
    def statistic(draws: NDArray[np.float64]) -> NDArray[np.float64]:
        return draws[:, 0] if value is None else np.full(len(draws), value)

    assert bootstrap.interval(statistic, samples) is None
