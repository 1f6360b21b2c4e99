from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_converters.datasets import named_arrays, splits
from edgemeter_converters.datasets.dataset import Samples


def numbered(first: int, samples: int) -> np.ndarray:
    """Samples of (2, 3), all different."""
    return np.arange(first * 6, (first + samples) * 6, dtype=np.float32).reshape(samples, 2, 3)


PARTED: dict[str, Any] = {
    "x_train": numbered(0, 8),
    "y_train": np.arange(8) % 3,
    "x_test": numbered(8, 4),
    "y_test": np.arange(4) % 3,
}


def test_keras_names_give_the_splits_as_they_are() -> None:
    dataset = named_arrays.from_arrays(PARTED)
    assert (len(dataset.training), len(dataset.evaluation), dataset.classes) == (8, 4, 3)
    assert dataset.evaluation.labels is not None
    assert dataset.evaluation.labels.dtype == np.int64
    np.testing.assert_array_equal(dataset.evaluation.inputs[0], PARTED["x_test"])
    # All of training fits into the calibration split.
    np.testing.assert_array_equal(np.sort(dataset.calibration[0], axis=0), PARTED["x_train"])


def test_one_array_is_split_80_to_20_the_same_way_each_time() -> None:
    x, y = numbered(0, 50), np.arange(50)
    first, second = named_arrays.from_arrays({"x": x, "y": y}), named_arrays.from_arrays({"x": x, "y": y})
    assert (len(first.training), len(first.evaluation)) == (40, 10)
    np.testing.assert_array_equal(first.evaluation.inputs[0], second.evaluation.inputs[0])
    assert first.evaluation.labels is not None
    np.testing.assert_array_equal(x[first.evaluation.labels], first.evaluation.inputs[0])


@given(st.integers(2, 300))
def test_a_split_leaves_nothing_out_and_takes_nothing_twice(samples: int) -> None:
    whole = Samples(inputs=(np.arange(samples)[:, None],))
    training, evaluation = splits.split(whole)
    together = np.concatenate([training.inputs[0], evaluation.inputs[0]])
    assert sorted(together[:, 0]) == list(range(samples))
    assert len(training) >= 1
    assert len(evaluation) >= 1


def test_the_split_is_pinned() -> None:
    # Were this to change, every variant would be built anew and results before and after not compare.
    _, evaluation = splits.split(Samples(inputs=(np.arange(20)[:, None],)))
    assert evaluation.inputs[0][:, 0].tolist() == [11, 12, 14, 16]


def test_no_labels() -> None:
    dataset = named_arrays.from_arrays({"x": numbered(0, 10)})
    assert (dataset.classes, dataset.evaluation.labels) == (0, None)


def test_labels_in_a_column() -> None:
    dataset = named_arrays.from_arrays({**PARTED, "y_test": PARTED["y_test"][:, None].astype(np.uint8)})
    assert dataset.evaluation.labels is not None
    assert dataset.evaluation.labels.shape == (4,)


def test_calibration_is_at_most_200_different_samples_and_none_of_evaluation() -> None:
    training = np.concatenate([numbered(0, 300), numbered(0, 300), numbered(1000, 50)])
    evaluation = numbered(1000, 50)
    (picked,) = splits.pick_calibration((training,), (evaluation,))
    calibration = {sample.tobytes() for sample in picked}
    assert len(calibration) == len(picked) == 200
    assert not calibration & {sample.tobytes() for sample in evaluation}


def test_calibration_is_empty_where_training_is_all_evaluation() -> None:
    picked = splits.pick_calibration((numbered(0, 5),), (numbered(0, 5),))
    assert picked[0].shape == (0, 2, 3)


def test_any_number_of_calibration_samples_is_picked() -> None:
    dataset = named_arrays.from_arrays({"x_train": numbered(0, 400), "x_test": numbered(400, 9)})
    for count in (1, 64, 200, 300):
        (picked,) = splits.calibration(dataset, count)
        assert len(picked) == count
        # Fewer are the first of more: a larger number only adds.
        shared = min(count, 200)
        np.testing.assert_array_equal(picked[:shared], dataset.calibration[0][:shared])
    assert len(splits.calibration(dataset, 1000)[0]) == 400


def test_calibration_that_was_given_is_not_added_to() -> None:
    dataset = named_arrays.from_arrays({**PARTED, "x_calibration": numbered(100, 30)})
    np.testing.assert_array_equal(splits.calibration(dataset, 10)[0], numbered(100, 10))
    np.testing.assert_array_equal(splits.calibration(dataset, 500)[0], numbered(100, 30))


def test_a_sample_that_is_there_twice_does_not_train_and_evaluate() -> None:
    x = np.concatenate([numbered(0, 30)] * 3)
    dataset = named_arrays.from_arrays({"x": x, "y": np.arange(90) % 30})
    assert not splits.overlap(dataset.training.inputs, dataset.evaluation.inputs)
    assert len(dataset.evaluation) == 18
    assert dataset.training.labels is not None
    np.testing.assert_array_equal(dataset.training.inputs[0], numbered(0, 30)[dataset.training.labels])


TWO_INPUTS: dict[str, Any] = {
    "x_train_0": numbered(0, 8),
    "x_train_1": np.arange(8, dtype=np.int32)[:, None],
    "x_test_0": numbered(8, 4),
    "x_test_1": np.arange(4, dtype=np.int32)[:, None],
}


def test_several_inputs_are_numbered() -> None:
    dataset = named_arrays.from_arrays(TWO_INPUTS)
    assert [array.dtype.name for array in dataset.training.inputs] == ["float32", "int32"]
    assert [len(array) for array in dataset.calibration] == [8, 8]
    # Both of a sample go together.
    np.testing.assert_array_equal(dataset.calibration[0], numbered(0, 8)[dataset.calibration[1][:, 0]])


def test_samples_are_the_same_only_where_all_of_their_inputs_are() -> None:
    arrays = {
        **TWO_INPUTS,
        "x_test_1": np.arange(4, dtype=np.int32)[:, None] + 100,
        "x_test_0": numbered(0, 4),
    }
    assert len(named_arrays.from_arrays(arrays).training) == 8
    with pytest.raises(ValueError, match=r"4 of 8 samples in 'x_train' are evaluation samples too"):
        named_arrays.from_arrays({**TWO_INPUTS, "x_test_0": numbered(0, 4)})


def test_ten_inputs_and_more_stay_in_order() -> None:
    arrays = {f"x_{number}": np.arange(6)[:, None] + number * 100 for number in range(12)}
    dataset = named_arrays.from_arrays(dict(sorted(arrays.items())))
    first = [int(array[0, 0]) for array in dataset.evaluation.inputs]
    assert first == [first[0] + 100 * number for number in range(12)]


def test_overlapping_samples_are_called_what_their_user_calls_them() -> None:
    arrays = {"x_train": numbered(0, 8), "x_test": numbered(5, 4)}
    with pytest.raises(ValueError, match=r"3 of 8 samples .* \(the first: 'cats/f\.png'\)"):
        named_arrays.from_arrays(arrays, {"x_train": [f"cats/{letter}.png" for letter in "abcdefgh"]})


def test_given_calibration_is_taken_whole() -> None:
    dataset = named_arrays.from_arrays({**PARTED, "x_calibration": numbered(100, 3)})
    np.testing.assert_array_equal(dataset.calibration[0], numbered(100, 3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"x_calibration": numbered(10, 5)},
            "2 of 5 samples in 'x_calibration' are evaluation samples too (the first: number 0); "
            "quality would be flattered: remove them",
            id="calibration overlaps evaluation",
        ),
        pytest.param(
            {"x_calibration": numbered(100, 5).astype(np.float64)},
            "'x_calibration' is float64 of shape (2, 3) a sample, "
            "evaluation is float32 of shape (2, 3): they must be alike",
            id="calibration of another type",
        ),
        pytest.param(
            {"x_test": None},
            "no array 'x_test' (there: 'x_train', 'y_train', 'y_test'); "
            "save x_train, y_train, x_test and y_test, or x and y",
            id="an array missing",
        ),
        pytest.param(
            {"x": numbered(0, 5)},
            "it has 'x' as well as 'x_train' or 'x_test': keep one way of naming the splits",
            id="two ways",
        ),
        pytest.param({"y_test": np.arange(3)}, "'x_test' has 4 samples, 'y_test' has 3", id="lengths"),
        pytest.param(
            {"y_test": np.array(["a", "b", "c", "d"])},
            "'y_test' is <U1 of shape (4,): labels are numbers, (samples, …)",
            id="text for labels",
        ),
        pytest.param(
            {"y_test": np.full((4, 2), np.nan)}, "'y_test' holds NaN or infinity", id="NaN in labels"
        ),
        pytest.param(
            {"y_test": np.array([0, 1, -1, 0])},
            "'y_test' goes from -1 to 1: labels count from 0",
            id="negative",
        ),
        pytest.param(
            {"x_test": np.where(numbered(8, 4) == 60, np.nan, numbered(8, 4))},
            "'x_test' holds NaN or infinity, first in sample 2",
            id="NaN",
        ),
        pytest.param(
            {"x_test": np.zeros((0, 2, 3))}, "'x_test' is empty: its shape is (0, 2, 3)", id="empty"
        ),
        pytest.param(
            {"x_test": np.zeros(4)}, "'x_test' has shape (4,): inputs are (samples, …)", id="no dimensions"
        ),
        pytest.param(
            {"x_test": np.full((4, 2), "a")},
            "'x_test' holds <U1: inputs are integers, floats or booleans",
            id="text",
        ),
        pytest.param(
            {"x_test": numbered(6, 4)},
            "2 of 8 samples in 'x_train' are evaluation samples too (the first: number 6); "
            "quality would be flattered: remove them",
            id="training overlaps evaluation",
        ),
        pytest.param(
            {"y_train": np.full(8, 2)},
            "'y_train' is 2 for each of its 8 samples: nothing is learned or scored on one class; "
            "save samples of several, or leave the labels out",
            id="training of one class",
        ),
        pytest.param(
            {"y_test": np.zeros(4, np.uint8)},
            "'y_test' is 0 for each of its 4 samples: nothing is learned or scored on one class; "
            "save samples of several, or leave the labels out",
            id="evaluation of one class",
        ),
        pytest.param(
            {"x_test": np.array([[[None]]] * 4)},
            "'x_test' holds object: inputs are integers, floats or booleans",
            id="Python objects",
        ),
        pytest.param(
            {"x_test": np.zeros((4, 0, 3), np.float32)},
            "'x_test' is empty: its shape is (4, 0, 3)",
            id="pictures of no size",
        ),
        pytest.param(
            {"x_train": None, "x_train_0": numbered(0, 8), "x_train_2": numbered(0, 8)},
            "it has 'x_train_2' and no 'x_train_1': inputs count from 0",
            id="an input missing",
        ),
        pytest.param(
            {"x_train_0": numbered(0, 8)},
            "it has 'x_train' as well as 'x_train_0': keep one of the two",
            id="one input and several",
        ),
        pytest.param(
            {"x_train": None, "x_train_0": numbered(0, 8), "x_train_1": numbered(0, 7)},
            "'x_train_0' has 8 samples, 'x_train_1' has 7",
            id="inputs of two lengths",
        ),
        pytest.param(
            {"x_train": None, "x_train_0": numbered(0, 8), "x_train_1": numbered(0, 8)},
            "'x_train' has 2 inputs, 'x_test' has 1: they must be alike",
            id="splits of several inputs and of one",
        ),
        pytest.param(
            {"class_names": np.array(["cat", "dog"])},
            "'class_names' has 2 names, and the labels go up to 2",
            id="names for fewer classes",
        ),
        pytest.param(
            {"class_names": np.arange(3)},
            "'class_names' is int64 of shape (3,): it is text of shape (classes,)",
            id="names that are no text",
        ),
        pytest.param(
            {"x_test": np.zeros((4, 3, 2), np.float32)},
            "'x_train' is float32 of shape (2, 3) a sample, 'x_test' is float32 of shape (3, 2): "
            "they must be alike",
            id="splits of two shapes",
        ),
    ],
)
def test_refuses_arrays(changes: dict[str, Any], message: str) -> None:
    arrays = {name: array for name, array in {**PARTED, **changes}.items() if array is not None}
    with pytest.raises(ValueError, match=r".") as refused:
        named_arrays.from_arrays(arrays)
    assert str(refused.value) == message


def test_one_class_can_not_be_split() -> None:
    with pytest.raises(ValueError, match="'y' is 7 for each of its 9 samples"):
        named_arrays.from_arrays({"x": numbered(0, 9), "y": np.full(9, 7)})


@pytest.mark.parametrize("count", [4, 5, 8, 11, 30])
@given(draw=st.randoms(use_true_random=False))
def test_both_splits_hold_several_classes_where_they_can(count: int, draw: random.Random) -> None:
    labels = [draw.randrange(3) for _ in range(count - 4)] + [0, 1, 0, 1]
    draw.shuffle(labels)
    kept = named_arrays.to_arrays(named_arrays.from_arrays({"x": numbered(0, count), "y": np.array(labels)}))
    for name in ("y_train", "y_test"):
        assert len(kept[name]) == 1 or len(set(kept[name])) > 1
    assert sorted([*kept["y_train"], *kept["y_test"]]) == sorted(labels)
    named_arrays.from_arrays(kept)


def test_a_split_that_leaves_one_class_is_refused_before_it_is_kept() -> None:
    with pytest.raises(
        ValueError,
        match="'y' has too few samples to be split: the 2 to evaluate with are all of one class; save more",
    ):
        named_arrays.from_arrays({"x": numbered(0, 8), "y": np.eye(8, dtype=int)[3]})


def test_samples_that_are_all_alike_can_not_be_split() -> None:
    with pytest.raises(ValueError, match="its samples are all the same"):
        named_arrays.from_arrays({"x": np.zeros((50, 3))})


def test_one_sample_can_not_be_split() -> None:
    with pytest.raises(ValueError, match="'x' has 1 sample: at least 2 are needed"):
        named_arrays.from_arrays({"x": numbered(0, 1)})


def test_labels_of_other_tasks_are_kept_as_they_are() -> None:
    boxes = np.arange(4 * 2 * 5, dtype=np.float32).reshape(4, 2, 5)
    arrays = {name: array for name, array in PARTED.items() if name != "y_train"} | {"y_test": boxes}
    dataset = named_arrays.from_arrays(arrays)
    assert dataset.evaluation.labels is not None
    np.testing.assert_array_equal(dataset.evaluation.labels, boxes)
    assert (dataset.classes, dataset.evaluation.labels.dtype.name) == (0, "float32")


def test_the_vocabulary_of_tokens_is_kept() -> None:
    dataset = named_arrays.from_arrays({**PARTED, "vocabulary": np.array("abc123")})
    assert dataset.vocabulary == "abc123"
    assert str(named_arrays.to_arrays(dataset)["vocabulary"]) == "abc123"
