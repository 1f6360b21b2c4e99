from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgemeter_converters import tasks
from edgemeter_converters.tasks.intervals import wilson_interval
from edgemeter_protos.v1 import variant_pb2

CLASSIFICATION = tasks.task("classification")
LABELLED = tasks.Truth(labels=np.array([0, 1]))


def test_top1_counts_the_highest_and_takes_the_first_of_a_tie() -> None:
    scores = np.array([[0.1, 0.9], [0.5, 0.5], [0.5, 0.5], [-3.0, -4.0]])
    top1 = CLASSIFICATION.metrics([scores], tasks.Truth(labels=np.array([1, 0, 1, 0])))[0]
    assert (top1.metric, top1.value, top1.samples, top1.against) == ("top1", 0.75, 4, "labels")
    assert (top1.ci95_low, top1.ci95_high) == wilson_interval(3, 4)
    assert not top1.lower_is_better


def test_top5_is_said_of_more_than_five_classes() -> None:
    scores = np.tile(np.array([9.0, 8, 7, 6, 5, 5, 1]), (4, 1))
    # The two fives tie for the fifth place: the earlier class has it.
    found = CLASSIFICATION.metrics([scores], tasks.Truth(labels=np.array([0, 4, 5, 6])))
    assert [(each.metric, each.value) for each in found[:2]] == [("top1", 0.25), ("top5", 0.5)]
    five = CLASSIFICATION.metrics([scores[:, :5]], tasks.Truth(labels=np.array([0, 4, 3, 2])))
    assert [each.metric for each in five] == ["top1", "ece"]


def test_agreement_comes_after_labels_and_needs_none() -> None:
    original = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    outputs = np.array([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
    truth = tasks.Truth(labels=np.array([0, 0, 0]), original=(original,))
    assert [(each.metric, each.against) for each in CLASSIFICATION.metrics([outputs], truth)] == [
        ("top1", "labels"),
        ("ece", "labels"),
        ("agreement", "original"),
    ]
    (only,) = CLASSIFICATION.metrics([outputs], tasks.Truth(original=(original,)))
    assert (only.metric, only.samples) == ("agreement", 3)
    assert only.value == pytest.approx(2 / 3)
    assert CLASSIFICATION.metrics([outputs], tasks.Truth()) == ()


@given(
    st.integers(2, 12).flatmap(
        lambda classes: st.lists(
            st.lists(st.integers(-3, 3), min_size=classes, max_size=classes), min_size=1, max_size=20
        )
    ),
)
def test_top1_is_argmax_and_top5_no_less(rows: list[list[int]]) -> None:
    scores = np.array(rows, dtype=np.float32)
    labels = np.random.default_rng(len(rows)).integers(0, scores.shape[1], len(rows))
    found = {each.metric: each for each in CLASSIFICATION.metrics([scores], tasks.Truth(labels=labels))}
    assert found["top1"].value == np.mean(scores.argmax(axis=1) == labels)
    if scores.shape[1] > 5:
        in_order = np.argsort(-scores, axis=1, kind="stable")[:, :5]
        assert found["top5"].value == np.mean((in_order == labels[:, None]).any(axis=1))
        assert found["top1"].value <= found["top5"].value
    assert 0 <= found["ece"].value <= 1
    assert found["ece"].lower_is_better
    assert not found["ece"].HasField("ci95_low")


@pytest.mark.parametrize(
    ("outputs", "truth", "message"),
    [
        ([np.zeros((2, 3)), np.zeros((2, 3))], LABELLED, "classification scores one output, got 2"),
        ([np.zeros((2, 3, 1))], LABELLED, r"outputs \(samples, classes\), got shape \(2, 3, 1\)"),
        ([np.zeros((2, 3))], tasks.Truth(labels=np.array([0])), r"2 outputs, but labels of shape \(1,\)"),
        (
            [np.zeros((0, 3))],
            tasks.Truth(labels=np.zeros(0, np.int64)),
            r"0 outputs, but labels of shape \(0,\)",
        ),
        (
            [np.zeros((2, 3))],
            tasks.Truth(labels=np.array([0, 3])),
            "labels from 0 to 3, but outputs for 3 classes",
        ),
        ([np.array([[0.0, np.nan]])], tasks.Truth(labels=np.array([0])), "not a number"),
        (
            [np.zeros((2, 3))],
            tasks.Truth(original=(np.zeros((2, 4)),)),
            r"outputs of shape \(2, 3\), but the original's of \(2, 4\)",
        ),
    ],
)
def test_metrics_refuses(outputs: list[NDArray[np.float64]], truth: tasks.Truth, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CLASSIFICATION.metrics(outputs, truth)


WANTED = "classification wants one whole number from 0"
HINT = "; for one-hot labels save labels.argmax(axis=1)"


@pytest.mark.parametrize(
    ("dtype", "shape", "misfit"),
    [
        pytest.param("int64", (), "", id="one number"),
        pytest.param("uint8", (), "", id="one small number"),
        pytest.param(
            "float32", (), f"the labels are float32 of shape () a sample, {WANTED}", id="a fraction"
        ),
        pytest.param(
            "float32", (10,), f"the labels are float32 of shape (10,) a sample, {WANTED}{HINT}", id="one-hot"
        ),
        # Its largest is always the first.
        pytest.param("int64", (1,), f"the labels are int64 of shape (1,) a sample, {WANTED}", id="a column"),
        pytest.param(
            "uint8", (8, 8, 3), f"the labels are uint8 of shape (8, 8, 3) a sample, {WANTED}", id="pictures"
        ),
    ],
)
def test_misfit(dtype: str, shape: tuple[int, ...], misfit: str) -> None:
    assert CLASSIFICATION.misfit(variant_pb2.TensorSpec(dtype=dtype, shape=shape)) == misfit


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
    with pytest.raises(ValueError, match="no task 'clasification': did you mean 'classification'"):
        tasks.task("clasification")
