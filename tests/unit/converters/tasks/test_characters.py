from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgemeter_converters import tasks
from edgemeter_converters.tasks import Truth
from edgemeter_converters.tasks.characters import LEAST_PROBABILITY
from edgemeter_protos.v1 import variant_pb2

TASK = tasks.task("next-character")


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)


def test_never_guessed() -> None:
    signature = variant_pb2.Signature(outputs=[variant_pb2.TensorSpec(shape=(-1, 465), dtype="float32")])
    assert TASK.fits(signature)
    assert tasks.task_of(signature) == "classification"


@given(st.integers(2, 500), st.booleans())
def test_of_a_uniform_guess_it_is_the_alphabets_bits(characters: int, logits: bool) -> None:
    given_ = np.full((3, characters), 2.0 if logits else 1 / characters)
    bits = TASK.metrics([given_], Truth(labels=np.zeros(3, np.int64)))[0]
    assert bits.value == pytest.approx(math.log2(characters))
    assert (bits.metric, bits.against, bits.lower_is_better) == ("bits_per_character", "labels", True)


@given(st.integers(0, 2**32 - 1))
def test_logits_and_their_probabilities_are_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Not so far apart that a probability falls below the least that is told from 0.
    logits = rng.normal(0, 1, (5, 7))
    truth = Truth(labels=rng.integers(0, 7, 5))
    from_logits = TASK.metrics([logits], truth)
    from_probabilities = TASK.metrics([_softmax(logits)], truth)
    assert [each.value for each in from_logits] == pytest.approx(
        [each.value for each in from_probabilities], rel=1e-4
    )


def test_every_metric_by_hand() -> None:
    outputs = np.array([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]])
    original = np.array([[0.25, 0.5, 0.25], [0.125, 0.75, 0.125]])
    found = TASK.metrics([outputs], Truth(labels=np.array([0, 2]), original=(original,)))
    assert [(each.metric, each.against, each.lower_is_better) for each in found] == [
        ("bits_per_character", "labels", True),
        ("top1", "labels", False),
        ("agreement", "original", False),
        ("kl_divergence_bits", "original", True),
    ]
    # -log2 of 1/2 and 1/8; of the first KL = 1/4 log2(1/2) + 1/2 log2(2) = 1/4.
    assert [each.value for each in found] == pytest.approx([2, 0.5, 0.5, 0.125])
    assert all(each.samples == 2 for each in found)
    assert found[3].ci95_low == 0


@given(st.integers(0, 2**32 - 1))
def test_divergence_is_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = (_softmax(rng.normal(0, 2, (4, 6))).astype(np.float64) for _ in range(2))
    divergence = TASK.metrics([one], Truth(original=(other,)))[1]
    assert divergence.value == pytest.approx(stats.entropy(other, one, base=2, axis=1).mean(), rel=1e-4)
    assert TASK.metrics([one], Truth(original=(one,)))[1].value == pytest.approx(0, abs=1e-12)


def test_probability_rounded_to_zero_does_not_make_it_infinite() -> None:
    outputs = np.array([[0.0, 1.0]])
    bits = TASK.metrics([outputs], Truth(labels=np.array([0])))[0]
    assert bits.value == pytest.approx(-math.log2(LEAST_PROBABILITY), abs=1e-4)


def test_probabilities_in_int8_are_told_by_the_originals() -> None:
    # 400 characters of 1/512 or less are rounded away, and with them most of the sum.
    original = np.full((2, 401), 0.6 / 400)
    original[:, 7] = 0.4
    outputs = np.round(original * 256) / 256
    assert outputs.sum(axis=1) == pytest.approx([0.3984, 0.3984], abs=1e-3)
    found = {
        each.metric: each.value
        for each in TASK.metrics([outputs], Truth(labels=np.array([7, 7]), original=(original,)))
    }
    assert found["agreement"] == found["top1"] == 1
    # What is left adds up to 0.4, which is divided out: nearly certain.
    assert found["bits_per_character"] == pytest.approx(0, abs=0.01)
    assert found["kl_divergence_bits"] > 1


@pytest.mark.parametrize(
    ("labels", "fits"),
    [
        pytest.param(variant_pb2.TensorSpec(dtype="int64"), True, id="a number"),
        pytest.param(variant_pb2.TensorSpec(dtype="int64", shape=(40,)), False, id="a text"),
        pytest.param(variant_pb2.TensorSpec(dtype="float32"), False, id="no whole number"),
    ],
)
def test_labels_that_fit(labels: variant_pb2.TensorSpec, fits: bool) -> None:
    assert (TASK.misfit(labels) == "") is fits


@pytest.mark.parametrize(
    ("outputs", "labels", "message"),
    [
        ([np.ones((2, 3))] * 2, [0, 1], "next-character scores one output, got 2"),
        ([np.ones((2, 3, 1))], [0, 1], r"outputs \(samples, characters\), got shape \(2, 3, 1\)"),
        ([np.array([[0.1, np.nan]])], [0], "not numbers"),
        ([np.ones((2, 3))], [0], r"2 outputs, but labels of shape \(1,\)"),
        ([np.ones((2, 3))], [0, 3], "labels from 0 to 3, but outputs for 3 characters"),
    ],
)
def test_refuses(outputs: list[np.ndarray], labels: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TASK.metrics(outputs, Truth(labels=np.array(labels)))


def test_refuses_an_original_of_other_characters() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 3\), but the original's of \(2, 4\)"):
        TASK.metrics([np.ones((2, 3))], Truth(original=(np.ones((2, 4)),)))
