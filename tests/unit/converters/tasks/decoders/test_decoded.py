from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgemeter_converters.tasks.decoders import HEADS, Settings

HEAD = HEADS["decoded"].make(Settings())
BOXES = np.array([[[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 1.2, 0.9], [0.0, 0.0, 0.1, 0.1]]])
CLASSES = np.array([[17.0, 0.0, 3.0]])
SCORES = np.array([[0.5, 0.9, 0.7]])


@pytest.mark.parametrize(
    "outputs",
    [
        pytest.param([BOXES, CLASSES, SCORES, np.array([2.0])], id="as TensorFlow Lite has it"),
        pytest.param([BOXES, SCORES, CLASSES, np.array([2.0])], id="scores before classes"),
        pytest.param([BOXES[:, :2], CLASSES[:, :2], SCORES[:, :2]], id="without a count"),
    ],
)
def test_decodes(outputs: list[NDArray[np.float64]]) -> None:
    found = HEAD.decode(outputs)
    assert found.classes.tolist() == [0, 17]
    assert found.scores.tolist() == [0.9, 0.5]
    assert found.corners.tolist() == [[0.5, 0.5, 1.0, 0.9], [0.1, 0.2, 0.3, 0.4]]


def test_nothing_found() -> None:
    nothing = [np.zeros((2, 5, 4)), np.zeros((2, 5)), np.zeros((2, 5)), np.zeros(2)]
    assert len(HEAD.decode(nothing)) == 0


def test_classes_that_are_none() -> None:
    with pytest.raises(ValueError, match="classes of the boxes are not whole numbers"):
        HEAD.decode([BOXES, SCORES, SCORES])


@pytest.mark.parametrize(
    ("shapes", "fits"),
    [
        ([(1, 10, 4), (1, 10), (1, 10), (1,)], True),
        ([(-1, 10, 4), (-1, 10), (-1, 10)], True),
        ([(1, 10, 4), (1, 10), (1, 12), (1,)], False),
        ([(1, 10, 6)], False),
    ],
)
def test_misfit(shapes: list[tuple[int, ...]], fits: bool) -> None:
    assert (HEAD.misfit(shapes) == "") is fits
