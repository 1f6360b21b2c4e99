from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_converters import tasks
from edgemeter_converters.tasks.classification import wilson_interval
from edgemeter_protos.v1 import variant_pb2


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


def test_score_counts_the_highest_and_takes_the_first_of_a_tie() -> None:
    scores = np.array([[0.1, 0.9], [0.5, 0.5], [0.5, 0.5], [-3.0, -4.0]])
    quality = tasks.task("classification").score([scores], np.array([1, 0, 1, 0]))
    assert (quality.metric, quality.value, quality.samples) == ("top1", 0.75, 4)
    assert (quality.ci95_low, quality.ci95_high) == wilson_interval(3, 4)


@pytest.mark.parametrize(
    ("outputs", "labels", "message"),
    [
        ([np.zeros((2, 3)), np.zeros((2, 3))], [0, 1], "classification scores one output, got 2"),
        ([np.zeros((2, 3, 1))], [0, 1], r"outputs \(samples, classes\), got shape \(2, 3, 1\)"),
        ([np.zeros((2, 3))], [0], r"2 outputs, but labels of shape \(1,\)"),
        ([np.zeros((0, 3))], [], r"0 outputs, but labels of shape \(0,\)"),
        ([np.zeros((2, 3))], [0, 3], "labels from 0 to 3, but outputs for 3 classes"),
        ([np.array([[0.0, np.nan]])], [0], "not a number"),
    ],
)
def test_score_refuses(outputs: list[np.ndarray], labels: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tasks.task("classification").score(outputs, np.array(labels, dtype=np.int64))


@pytest.mark.parametrize(
    ("shapes", "task"),
    [
        pytest.param([(-1, 10)], "classification", id="scores"),
        pytest.param([(-1, 1)], "", id="one number is not a choice"),
        pytest.param([(-1, 8, 8, 3)], "", id="an image"),
        pytest.param([(-1, 10), (-1, 4)], "", id="two outputs"),
    ],
)
def test_task_of(shapes: list[tuple[int, ...]], task: str) -> None:
    outputs = [variant_pb2.TensorSpec(shape=shape, dtype="float32") for shape in shapes]
    assert tasks.task_of(variant_pb2.Signature(outputs=outputs)) == task


def test_unknown_task() -> None:
    with pytest.raises(KeyError, match="no task 'chess'; known: classification"):
        tasks.task("chess")
