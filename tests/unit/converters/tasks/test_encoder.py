from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemeter_converters import tasks
from edgemeter_converters.tasks import Truth
from edgemeter_converters.tasks.encoder import same_nearest
from edgemeter_converters.tasks.probe import FOLDS, probe
from edgemeter_protos.v1 import variant_pb2

TASK = tasks.task("encoder")


def _values(task: tasks.Task, outputs: list[np.ndarray], truth: Truth) -> dict[str, float]:
    return {each.metric: each.value for each in task.metrics(outputs, truth)}


def _unit(values: np.ndarray) -> np.ndarray:
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True))


def _clusters(rng: np.random.Generator, samples: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.integers(0, 3, samples)
    return rng.normal(0, 1, (3, 8))[labels] + rng.normal(0, spread, (samples, 8)), labels


@pytest.mark.parametrize(
    ("text", "shapes", "fits"),
    [
        ("encoder", [(-1, 384)], True),
        ("encoder", [(-1, 128, 384)], True),
        # What follows the first output is not looked at: a pooled one, hidden states.
        ("encoder", [(-1, 128, 384), (-1, 384)], True),
        ("encoder", [(-1, 1)], False),
        ("encoder", [(-1, 8, 8, 3)], False),
        ("encoder(mask=1)", [(-1, 128, 384)], True),
        # Already pooled: no token is left to mask.
        ("encoder(mask=1)", [(-1, 384)], False),
        # No such input.
        ("encoder(mask=2)", [(-1, 128, 384)], False),
    ],
)
def test_models_that_fit(text: str, shapes: list[tuple[int, ...]], fits: bool) -> None:
    signature = variant_pb2.Signature(
        inputs=[variant_pb2.TensorSpec(dtype="int32", shape=(-1, 128))] * 2,
        outputs=[variant_pb2.TensorSpec(dtype="float32", shape=shape) for shape in shapes],
    )
    assert tasks.task(text).fits(signature) is fits


@pytest.mark.parametrize("text", ["encoder", "encoder(mask=0)", "encoder(mask=1)"])
def test_text_is_canonical(text: str) -> None:
    task = tasks.task(text)
    assert task.text == text
    assert task.needs_inputs is ("mask" in text)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_nothing_changes_by_the_length_of_embeddings(seed: int, factor: float) -> None:
    embeddings = np.random.default_rng(seed).normal(0, 1, (12, 5))
    found = _values(TASK, [embeddings * factor], Truth(original=(embeddings,)))
    assert found == pytest.approx({"neighbour_agreement": 1, "cosine": 1})


def test_every_metric_in_order() -> None:
    embeddings, labels = _clusters(np.random.default_rng(0), 30, 0.1)
    found = TASK.metrics([embeddings], Truth(labels=labels, original=(embeddings,)))
    assert [(each.metric, each.against) for each in found] == [
        ("probe_accuracy", "labels"),
        ("neighbour_agreement", "original"),
        ("cosine", "original"),
    ]
    assert all(each.samples == 30 for each in found)
    assert found[2].ci95_high <= 1


def test_cosine_by_hand() -> None:
    original = np.array([[1.0, 0], [0, 2], [3, 0], [0, 0]])
    changed = np.array([[1.0, 1], [0, 1], [-1, 0], [1, 0]])
    # √½, 1, -1, and 0 where there is no direction.
    expected = (np.sqrt(0.5) + 1 - 1 + 0) / 4
    assert _values(TASK, [changed], Truth(original=(original,)))["cosine"] == pytest.approx(expected)


def test_neighbours_by_hand() -> None:
    at = np.radians([0, 10, 30, 90])
    original = np.stack([np.cos(at), np.sin(at)], axis=1)
    at = np.radians([0, 25, 30, 90])
    changed = np.stack([np.cos(at), np.sin(at)], axis=1)
    # 0-1, 1-0, 2-1, 3-2 became 0-1, 1-2, 2-1, 3-2.
    assert same_nearest(changed, original).tolist() == [True, False, True, True]


@given(st.integers(0, 2**32 - 1))
def test_neighbours_are_those_of_all_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    original, changed = (_unit(rng.normal(0, 1, (9, 4))) for _ in range(2))

    def nearest(embeddings: np.ndarray, of: int) -> int:
        cosines = [embeddings[of] @ other if at != of else -2 for at, other in enumerate(embeddings)]
        return int(np.argmax(cosines))

    expected = [nearest(changed, at) == nearest(original, at) for at in range(9)]
    assert same_nearest(changed, original).tolist() == expected


def test_neighbours_over_more_samples_than_are_held_at_a_time() -> None:
    rng = np.random.default_rng(0)
    original = _unit(rng.normal(0, 1, (2500, 3)))
    assert same_nearest(original, original).all()
    assert not same_nearest(_unit(rng.normal(0, 1, (2500, 3))), original)[1030:].all()


def test_equal_samples_are_each_others_equals() -> None:
    """Two times the same text: rounding chooses which of the two is nearer to a third."""
    original = _unit(np.array([[1.0, 0.1], [1, 0.1], [1, 0.2], [0, 1]]))
    changed = original + np.array([[0, 1e-6], [0, -1e-6], [0, 0], [0, 0]])
    assert same_nearest(_unit(changed), original).all()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_more_noise_leaves_fewer_neighbours(seed: int) -> None:
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(0, 1, (200, 16))
    noise = rng.normal(0, 1, (200, 16))
    found = [
        _values(TASK, [embeddings + level * noise], Truth(original=(embeddings,))) for level in (0, 0.3, 3)
    ]
    for metric in ("neighbour_agreement", "cosine"):
        first, second, third = (each[metric] for each in found)
        assert first > second > third


def test_tokens_are_pooled_by_their_mean() -> None:
    tokens = np.random.default_rng(0).normal(0, 1, (6, 4, 8))
    found = _values(TASK, [tokens], Truth(original=(tokens.mean(axis=1)[:, None],)))
    assert found["cosine"] == pytest.approx(1)


def test_padding_is_not_pooled() -> None:
    rng = np.random.default_rng(0)
    tokens = rng.normal(0, 1, (6, 4, 8))
    mask = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]])
    garbage = np.where(mask[..., None] == 1, tokens, rng.normal(0, 100, tokens.shape))
    truth = Truth(original=(tokens,), inputs=(np.zeros((6, 4)), mask))
    found = tasks.task("encoder(mask=1)").metrics([garbage], truth)[1]
    # The last text is nothing but padding, and has no direction.
    assert found.value == pytest.approx(5 / 6)


def test_probe_is_ridge_regression_over_folds() -> None:
    rng = np.random.default_rng(3)
    embeddings, labels = _clusters(rng, 43, 1.5)
    embeddings, labels = _unit(embeddings), np.array([4, 9, -2])[labels]
    found = probe(embeddings, labels)

    order = np.random.default_rng(0).permutation(43)
    order = order[np.argsort(labels[order], kind="stable")]
    expected = np.zeros(43, np.int64)
    for fold in range(FOLDS):
        held = order[fold::FOLDS]
        seen = np.setdiff1d(np.arange(43), held)
        centre = embeddings[seen].mean(axis=0)
        x, y = embeddings[seen] - centre, (labels[seen][:, None] == np.unique(labels)).astype(float)
        weights = np.linalg.solve(x.T @ x + np.eye(8), x.T @ (y - y.mean(axis=0)))
        scores = (embeddings[held] - centre) @ weights + y.mean(axis=0)
        expected[held] = np.unique(labels)[scores.argmax(axis=1)]
    np.testing.assert_array_equal(found, expected)
    assert 0.5 < np.mean(found == labels) < 1


@pytest.mark.parametrize(
    ("spread", "least", "most"),
    [
        pytest.param(0.05, 1.0, 1.0, id="apart"),
        # Three classes, told by chance.
        pytest.param(1e6, 0.2, 0.5, id="no trace of them"),
    ],
)
def test_probe_accuracy(spread: float, least: float, most: float) -> None:
    embeddings, labels = _clusters(np.random.default_rng(0), 200, spread)
    assert least <= _values(TASK, [embeddings], Truth(labels=labels))["probe_accuracy"] <= most


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(np.arange(9) % 2, id="too few samples"),
        pytest.param(np.zeros(20, np.int64), id="one class"),
    ],
)
def test_no_probe(labels: np.ndarray) -> None:
    embeddings = np.random.default_rng(0).normal(0, 1, (len(labels), 4))
    assert TASK.metrics([embeddings], Truth(labels=labels)) == ()


def test_two_samples_have_no_choice_of_neighbours() -> None:
    assert list(_values(TASK, [np.eye(2)], Truth(original=(np.eye(2),)))) == ["cosine"]


def test_labels_that_fit() -> None:
    assert TASK.misfit(variant_pb2.TensorSpec(dtype="uint8")) == ""
    assert "encoder wants one whole number" in TASK.misfit(variant_pb2.TensorSpec(dtype="int64", shape=(3,)))


@pytest.mark.parametrize(
    ("text", "outputs", "truth", "message"),
    [
        ("encoder", [], Truth(), "encoder scores an output, got none"),
        ("encoder", [np.ones(3)], Truth(), r"got the outputs of shape \(3,\)"),
        ("encoder", [np.full((2, 2), np.nan)], Truth(), "the outputs hold values that are not numbers"),
        ("encoder", [np.ones((2, 2))], Truth(labels=np.zeros(3)), r"2 outputs, but labels of shape \(3,\)"),
        ("encoder", [np.ones((2, 2))], Truth(original=(np.ones((2, 3)),)), r"the original's of \(2, 3\)"),
        ("encoder(mask=1)", [np.ones((2, 2, 2))], Truth(), r"encoder\(mask=1\) wants input 1, got 0 inputs"),
        (
            "encoder(mask=0)",
            [np.ones((2, 2, 2))],
            Truth(inputs=(np.ones((2, 3)),)),
            r"the mask has shape \(2, 3\), tokens have \(2, 2\)",
        ),
    ],
)
def test_refuses(text: str, outputs: list[np.ndarray], truth: Truth, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tasks.task(text).metrics(outputs, truth)
