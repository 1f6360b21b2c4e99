from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgemeter_converters import tasks
from edgemeter_protos.v1 import variant_pb2

GRID = tasks.task("detection(grid, classes=2)")
CENTRES = [(0, 0, 0), (0, 3, 1), (2, 2, 0)]
"""Row, column and class of the objects of every picture: a quarter of it high and wide, in the middle of a
cell of 4 x 4."""


def labels_of(pictures: int) -> NDArray[np.float32]:
    labels = np.zeros((pictures, 5, 5), np.float32)
    labels[..., 4] = -1
    for place, (row, column, of_class) in enumerate(CENTRES):
        labels[:, place] = [row / 4, column / 4, (row + 1) / 4, (column + 1) / 4, of_class]
    return labels


def outputs_of(pictures: int, missed: Sequence[int] = (), sure: float = 6.0) -> NDArray[np.float32]:
    """A grid's output that finds all objects, but the first of some pictures."""
    cells = np.zeros((pictures, 4, 4, 7), np.float32)
    cells[..., 0] = -9
    for row, column, of_class in CENTRES:
        cells[:, row, column, 0] = sure
        cells[:, row, column, 3:5] = np.log(0.25 / 0.75)
        cells[:, row, column, 5 + of_class] = 9
    cells[list(missed), 0, 0, 0] = -9
    return cells


def test_perfect_detections() -> None:
    found = GRID.metrics([outputs_of(20)], tasks.Truth(labels=labels_of(20)))
    assert [(each.metric, each.value, each.samples, each.against) for each in found] == [
        ("map", 1.0, 20, "labels"),
        ("map50", 1.0, 20, "labels"),
    ]
    assert not any(each.HasField("ci95_low") for each in found), "nothing varies, so nothing is known of it"


def test_one_object_of_two_missed_in_half_of_the_pictures() -> None:
    pictures = 40
    map_, map50 = GRID.metrics(
        [outputs_of(pictures, missed=range(0, pictures, 2))], tasks.Truth(labels=labels_of(pictures))
    )
    # Class 0 is found to a recall of 0.75: 76 of 101 recalls; class 1 wholly.
    assert map50.value == pytest.approx((76 / 101 + 1) / 2)
    assert map_.value == pytest.approx(map50.value)
    assert 0.8 < map_.ci95_low < map_.value < map_.ci95_high < 0.95
    again = GRID.metrics(
        [outputs_of(pictures, missed=range(0, pictures, 2))], tasks.Truth(labels=labels_of(pictures))
    )
    assert again == (map_, map50), "the same draws at every call"


def test_against_the_original_alone() -> None:
    truth = tasks.Truth(original=(outputs_of(20),))
    same = GRID.metrics([outputs_of(20)], truth)
    assert [(each.metric, each.value, each.against) for each in same] == [
        ("agreement_map50", 1.0, "original"),
        ("agreement_map", 1.0, "original"),
    ]
    less = GRID.metrics([outputs_of(20, missed=[0, 1, 2, 3])], truth)
    assert less[0].value == pytest.approx((91 / 101 + 1) / 2)


def test_labels_come_before_the_original() -> None:
    found = GRID.metrics(
        [outputs_of(20, missed=[3])], tasks.Truth(labels=labels_of(20), original=(outputs_of(20),))
    )
    assert [each.metric for each in found] == ["map", "map50", "agreement_map50", "agreement_map"]


def test_an_original_that_finds_nothing_sure() -> None:
    truth = tasks.Truth(labels=labels_of(12), original=(outputs_of(12, sure=-2.0),))
    found = {each.metric: each for each in GRID.metrics([outputs_of(12)], truth)}
    assert found["map"].value == 1.0
    assert found["agreement_map50"].unscored_reason == (
        "the original finds nothing with a score of 0.3 or more in 12 pictures: give others, or a lower "
        "threshold to the task"
    )
    assert not found["agreement_map50"].samples
    lower = tasks.task("detection(grid, threshold=0.1)").metrics([outputs_of(12)], truth)
    assert lower[2].value == 1.0


def test_few_pictures_have_no_interval() -> None:
    found = GRID.metrics([outputs_of(4, missed=[0])], tasks.Truth(labels=labels_of(4)))
    assert not any(each.HasField("ci95_low") for each in found)


def changed(place: tuple[int, ...], value: float) -> NDArray[np.float32]:
    labels = labels_of(2)
    labels[place] = value
    return labels


@pytest.mark.parametrize(
    ("outputs", "labels", "message"),
    [
        (
            [outputs_of(2)] * 2,
            labels_of(2),
            r"shapes \(2, 4, 4, 7\), \(2, 4, 4, 7\): grid wants one output .*, 5 \+ 2 classes\)",
        ),
        ([np.full((2, 4, 4, 7), np.nan)], labels_of(2), r"not numbers \(NaN"),
        ([outputs_of(2)], labels_of(3), r"2 outputs, but labels of shape \(3, 5, 5\): wants \(2, boxes, 5\)"),
        ([outputs_of(2)], np.full((2, 5, 5), -1.0), "the labels hold no box at all"),
        ([outputs_of(2)], changed((1, 2, 4), 2), "sample 1, box 2: .* is no box: .* a whole class below 2"),
        ([outputs_of(2)], changed((1, 0, 4), 0.5), "sample 1, box 0: 0, 0, 0.25, 0.25, 0.5 is no box"),
        ([outputs_of(2)], changed((0, 1, 3), 28), r"sample 0, box 1: 0, 0.75, 0.25, 28, 1 is no box"),
        ([outputs_of(2)], changed((0, 2, 0), 0.9), "sample 0, box 2: 0.9, 0.5, 0.75, 0.75, 0 is no box"),
    ],
)
def test_metrics_refuses(outputs: list[NDArray[Any]], labels: NDArray[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GRID.metrics(outputs, tasks.Truth(labels=labels))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("detection(ssd)", "detection(ssd)"),
        ("detection( ssd, size = 300, classes=1 )", "detection(ssd,classes=1)"),
        ("detection(centernet, threshold=0.5, classes=80)", "detection(centernet,classes=80,threshold=0.5)"),
        ("Detection(head=decoded)", "detection(decoded)"),
    ],
)
def test_text(text: str, canonical: str) -> None:
    task = tasks.task(text)
    assert task.text == canonical
    assert tasks.task(task.text).text == canonical
    assert (task.sample_noun, task.needs_original, task.needs_inputs) == ("frame", True, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("detection", "'detection' needs 'head'; it takes head, classes, size, threshold"),
        ("detection(yolo)", "'head' is 'yolo', expected one of ssd, centernet, grid, decoded"),
        ("detection(ssd, classes=0)", "'classes' is 0, expected a whole number at least 1"),
        ("detection(ssd, clases=1)", "did you mean 'classes'"),
    ],
)
def test_text_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tasks.task(text)


def test_fits_and_misfit() -> None:
    outputs = [variant_pb2.TensorSpec(shape=(-1, 4, 4, 7), dtype="float32")]
    assert GRID.fits(variant_pb2.Signature(outputs=outputs))
    assert not GRID.fits(variant_pb2.Signature(outputs=outputs * 2))
    assert GRID.misfit(variant_pb2.TensorSpec(shape=(8, 5), dtype="float32")) == ""
    assert GRID.misfit(variant_pb2.TensorSpec(dtype="int64")) == (
        "the labels are int64 of shape () a sample, detection wants floats of shape (boxes, 5): ymin, xmin, "
        "ymax, xmax in [0, 1], class"
    )
    assert tasks.task_of(variant_pb2.Signature(outputs=outputs)) == "", "a detector must be named"
