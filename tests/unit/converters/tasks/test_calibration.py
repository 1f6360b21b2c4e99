from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_converters import tasks
from edgemeter_converters.tasks import calibration


@pytest.mark.parametrize(
    ("scores", "probabilities"),
    [
        pytest.param([[0.2, 0.8], [1.0, 0.0]], True, id="rows that sum to 1"),
        pytest.param([[0.2, 0.8], [0.6, 0.7]], False, id="sigmoids"),
        pytest.param([[-2.0, 3.0], [1.0, 0.0]], False, id="logits"),
        pytest.param([[0.0, 0.0], [0.0, 0.0]], False, id="zeros"),
        pytest.param([[51 / 256, 204 / 256], [255 / 256, 0.0]], True, id="eight bits"),
    ],
)
def test_are_probabilities(scores: list[list[float]], probabilities: bool) -> None:
    assert calibration.are_probabilities(np.array(scores)) is probabilities


def test_expected_error_by_hand() -> None:
    # Bin (9/15, 10/15]: 0.62 and 0.66, one of two right; bin (14/15, 1]: 0.95 and 1, both right; 0 is in the
    # first bin.
    confidence = np.array([0.62, 0.66, 0.95, 1.0, 0.0])
    right = np.array([True, False, True, True, False])
    assert calibration.expected_error(confidence, right) == pytest.approx(
        (abs(1 - 1.28) + abs(2 - 1.95) + 0.0) / 5
    )


def test_bins_hold_their_upper_end() -> None:
    # 1/15 is the end of the first bin: alone in it, where 1/15 + 0.01 is in the second.
    confidence = np.array([1 / 15, 1 / 15 + 0.01])
    error = calibration.expected_error(confidence, np.array([True, False]))
    assert error == pytest.approx((1 - 1 / 15 + 1 / 15 + 0.01) / 2)


def test_logits_and_their_softmax_are_equally_calibrated() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(500, 10)).astype(np.float32) * 4
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = tasks.Truth(labels=generator.integers(0, 10, 500))
    task = tasks.task("classification")
    of_logits, of_shares = (
        next(each.value for each in task.metrics([scores], truth) if each.metric == "ece")
        for scores in (logits, shares)
    )
    assert of_logits == pytest.approx(of_shares, abs=1e-5)
    assert of_logits > 0.5


def test_the_original_decides_what_rows_are() -> None:
    """A variant whose rows happen to look like probabilities is no other kind of model."""
    outputs = np.array([[0.0, 1.0], [0.25, 0.75]])
    labels = np.array([1, 1])
    task = tasks.task("classification")

    def ece(truth: tasks.Truth) -> float:
        return next(each.value for each in task.metrics([outputs], truth) if each.metric == "ece")

    assert ece(tasks.Truth(labels=labels)) == pytest.approx(0.125)
    logits = tasks.Truth(labels=labels, original=(np.array([[-5.0, 5.0], [-1.0, 9.0]]),))
    assert ece(logits) == pytest.approx(1 - np.mean([1 / (1 + np.exp(-1)), 1 / (1 + np.exp(-0.5))]))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_expected_error_is_a_share(pairs: list[tuple[float, bool]]) -> None:
    confidence = np.array([each for each, _right in pairs])
    right = np.array([each for _confidence, each in pairs])
    error = calibration.expected_error(confidence, right)
    # No less than what all bins together are off by.
    assert abs(float(confidence.mean() - right.mean())) - 1e-12 <= error <= 1
