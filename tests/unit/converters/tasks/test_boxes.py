from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgemeter_converters.tasks import boxes

SHARES = st.floats(0, 1, width=32)


@st.composite
def corners(draw: st.DrawFn, most: int = 12) -> NDArray[np.float64]:
    rows = draw(st.lists(st.tuples(SHARES, SHARES, SHARES, SHARES), min_size=1, max_size=most))
    ends = np.array(rows, dtype=np.float64).reshape(-1, 2, 2)
    return np.concatenate([ends.min(axis=1), ends.max(axis=1)], axis=1)


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        pytest.param([0, 0, 1, 1], [0, 0, 1, 1], 1.0, id="the same"),
        pytest.param([0, 0, 1, 1], [0, 0, 0.5, 1], 0.5, id="half of it"),
        pytest.param([0, 0, 0.5, 0.5], [0.25, 0.25, 0.75, 0.75], 1 / 7, id="a corner"),
        pytest.param([0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], 0.0, id="touching"),
        pytest.param([0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5], 0.0, id="no area"),
    ],
)
def test_iou(one: list[float], other: list[float], overlap: float) -> None:
    assert boxes.iou(np.array([one]), np.array([other])) == pytest.approx(np.array([[overlap]]))


@given(corners(), st.floats(0.1, 0.9))
def test_nms_keeps_the_best_and_no_pair_above(of_boxes: NDArray[np.float64], overlap: float) -> None:
    scores = np.random.default_rng(len(of_boxes)).random(len(of_boxes)).round(1)
    one_class = boxes.of_picture(0, of_boxes, np.zeros(len(of_boxes)), scores)
    stay = boxes.nms(one_class, overlap=overlap, limit=100)
    assert stay[0] == scores.argmax()
    assert (np.diff(scores[stay]) <= 0).all()
    assert (np.triu(boxes.iou(of_boxes[stay], of_boxes[stay]), k=1) <= overlap + 1e-12).all()
    gone = np.setdiff1d(np.arange(len(of_boxes)), stay)
    for each in gone:
        better = stay[scores[stay] >= scores[each]]
        assert (boxes.iou(of_boxes[each : each + 1], of_boxes[better]) > overlap - 1e-12).any()


def test_nms_stops_at_the_limit_and_takes_the_first_of_a_tie() -> None:
    apart = np.array([[0, 0, 0.1, 0.1], [0.2, 0, 0.3, 0.1], [0.4, 0, 0.5, 0.1]])
    found = boxes.of_picture(0, apart, np.array([0, 0, 1]), np.array([0.5, 0.5, 0.9]))
    assert boxes.nms(found, overlap=0.5, limit=2).tolist() == [2, 0]


def test_classes_do_not_suppress_each_other() -> None:
    same = boxes.of_picture(
        3, np.tile([0.1, 0.1, 0.5, 0.5], (3, 1)), np.array([0, 1, 0]), np.array([0.3, 0.9, 0.4])
    )
    assert boxes.nms(same, overlap=0.5, limit=100).tolist() == [1, 2]
    assert boxes.nms(same, overlap=0.5, limit=1).tolist() == [1]


def test_inside_cuts_and_leaves_out_what_is_outside() -> None:
    found = boxes.of_picture(
        0, np.array([[-0.5, 0.2, 0.5, 1.4], [1.1, 0, 1.2, 1]]), np.array([0, 0]), np.array([0.5, 0.6])
    )
    assert boxes.inside(found).corners.tolist() == [[0.0, 0.2, 0.5, 1.0]]


def test_pictures_rise() -> None:
    one, other = (boxes.of_picture(each, np.zeros((1, 4)), np.zeros(1), np.ones(1)) for each in (1, 0))
    assert boxes.together([other, one]).pictures.tolist() == [0, 1]
    with pytest.raises(ValueError, match="in the order of their pictures"):
        boxes.together([one, other])


def test_together_of_nothing() -> None:
    assert len(boxes.together([])) == 0
    nothing = boxes.of_picture(0, np.zeros((0, 4)), np.zeros(0), np.zeros(0))
    assert len(boxes.nms(nothing, overlap=0.5, limit=10)) == 0
