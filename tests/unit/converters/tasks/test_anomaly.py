from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgemeter_converters import tasks
from edgemeter_converters.tasks import ranking
from edgemeter_protos.v1 import variant_pb2

ANOMALY = tasks.task("anomaly")


def scene(samples: int = 60) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Inputs, what an autoencoder makes of them, labels: the last third is anomalous, and rebuilt worse."""
    generator = np.random.default_rng(7)
    labels = (np.arange(samples) >= 2 * samples // 3).astype(np.int64)
    inputs = generator.normal(size=(samples, 4, 8)).astype(np.float32)
    size = (1 + 0.2 * labels)[:, None, None]
    rebuilt = inputs + generator.normal(size=inputs.shape).astype(np.float32) * size.astype(np.float32)
    return inputs, rebuilt, labels


def test_auc_of_the_mean_squared_error() -> None:
    inputs, rebuilt, labels = scene()
    (auc,) = ANOMALY.metrics([rebuilt], tasks.Truth(labels=labels, inputs=(inputs,)))
    errors = np.square(rebuilt - inputs).mean(axis=(1, 2))
    assert (auc.metric, auc.against, auc.samples) == ("auc", "labels", 60)
    assert auc.value == pytest.approx(ranking.auc(errors, labels == 1))
    assert (auc.ci95_low, auc.ci95_high) == pytest.approx(ranking.auc_interval(errors, labels == 1))
    assert 0.7 < auc.value < 1


def test_order_as_the_originals() -> None:
    inputs, rebuilt, labels = scene()
    noise = np.random.default_rng(1).normal(size=rebuilt.shape).astype(np.float32) * 0.1
    truth = tasks.Truth(labels=labels, inputs=(inputs,), original=(rebuilt,))
    same = ANOMALY.metrics([rebuilt], truth)
    assert [each.metric for each in same] == ["auc", "score_rank_correlation"]
    assert same[1].value == 1.0
    assert not same[1].HasField("ci95_low")
    near = ANOMALY.metrics([rebuilt + noise], truth)[1]
    assert 0.9 < near.ci95_low < near.value < near.ci95_high < 1
    assert (near.against, near.samples) == ("original", 60)


def test_an_original_without_any_order() -> None:
    inputs = np.ones((12, 3), np.float32)
    (only,) = ANOMALY.metrics([inputs + 1], tasks.Truth(inputs=(inputs,), original=(inputs,)))
    assert only.unscored_reason == "all samples have the same score: there is no order to compare"


@pytest.mark.parametrize(
    ("outputs", "truth", "message"),
    [
        (
            [np.zeros((2, 3))],
            tasks.Truth(),
            r"one output with one input, got 1 and 0 \(the outputs\)",
        ),
        (
            [np.zeros((2, 3))],
            tasks.Truth(inputs=(np.zeros((2, 4)),)),
            r"the outputs have shape \(2, 3\), the inputs \(2, 4\)",
        ),
        (
            [np.full((2, 3), np.inf)],
            tasks.Truth(inputs=(np.zeros((2, 3)),)),
            r"not numbers \(NaN or infinite\)",
        ),
        (
            [np.zeros((2, 3))],
            tasks.Truth(inputs=(np.zeros((2, 3)),), labels=np.array([0, 2])),
            "labels from 0 to 2: anomaly wants 0 for normal, 1 for anomalous",
        ),
        (
            [np.zeros((2, 3))],
            tasks.Truth(inputs=(np.zeros((2, 3)),), labels=np.array([1, 1])),
            "all labels are 1: AUC needs normal samples",
        ),
        (
            [np.zeros((2, 3))],
            tasks.Truth(inputs=(np.zeros((2, 3)),), labels=np.array([1])),
            r"2 outputs, but labels of shape \(1,\)",
        ),
    ],
)
def test_metrics_refuses(outputs: list[NDArray[Any]], truth: tasks.Truth, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ANOMALY.metrics(outputs, truth)


@pytest.mark.parametrize(
    ("input_shape", "output_shape", "fits"),
    [((-1, 640), (-1, 640), True), ((-1, 640), (-1, 10), False), ((-1,), (-1,), False)],
)
def test_fits(input_shape: tuple[int, ...], output_shape: tuple[int, ...], fits: bool) -> None:
    signature = variant_pb2.Signature(
        inputs=[variant_pb2.TensorSpec(shape=input_shape, dtype="float32")],
        outputs=[variant_pb2.TensorSpec(shape=output_shape, dtype="float32")],
    )
    assert ANOMALY.fits(signature) is fits


def test_misfit() -> None:
    assert ANOMALY.misfit(variant_pb2.TensorSpec(dtype="int64")) == ""
    assert ANOMALY.misfit(variant_pb2.TensorSpec(dtype="float32", shape=(3,))) == (
        "the labels are float32 of shape (3,) a sample, anomaly wants one whole number: 0 for normal, 1 for "
        "anomalous; for one-hot labels save labels.argmax(axis=1)"
    )
