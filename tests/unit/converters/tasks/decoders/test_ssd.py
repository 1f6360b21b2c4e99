from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgemeter_converters.tasks.anchors import ssd_anchors
from edgemeter_converters.tasks.decoders import HEADS, Settings

ANCHORS = ssd_anchors(300)


def encoded(corners: list[float], anchor: int) -> NDArray[np.float64]:
    """A box as its anchor's encoding: the inverse of what the head decodes."""
    y0, x0, y1, x1 = corners
    centre, size = np.array([(y0 + y1) / 2, (x0 + x1) / 2]), np.array([y1 - y0, x1 - x0])
    at, of = ANCHORS[anchor, :2], ANCHORS[anchor, 2:]
    return np.concatenate([(centre - at) / of * 10, np.log(size / of) * 5])


def outputs(boxes: list[tuple[int, list[float], int, float]], classes: int) -> list[NDArray[np.float32]]:
    encodings = np.zeros((2, 1917, 1, 4), np.float32)
    logits = np.full((2, 1917, 1 + classes), -12, np.float32)
    logits[..., 0] = 9  # the background: never a box
    for anchor, corners, of_class, logit in boxes:
        encodings[1, anchor, 0] = encoded(corners, anchor)
        logits[1, anchor, 1 + of_class] = logit
    return [encodings, logits]


def test_decodes_each_box_against_its_anchor() -> None:
    box, other = [0.2, 0.3, 0.6, 0.5], [0.05, 0.6, 0.35, 1.2]
    found = (
        HEADS["ssd"]
        .make(Settings(classes=2))
        .decode(outputs([(700, box, 1, 2.0), (1800, other, 0, 0.0)], classes=2))
    )
    assert found.pictures.tolist() == [1, 1]
    assert found.classes.tolist() == [1, 0]
    assert found.scores == pytest.approx([1 / (1 + np.exp(-2)), 0.5])
    assert found.corners[0] == pytest.approx(box, abs=1e-6)
    assert found.corners[1] == pytest.approx([0.05, 0.6, 0.35, 1.0], abs=1e-6)


def test_suppresses_what_overlaps_more_than_sixty_percent() -> None:
    near, far = [0.2, 0.3, 0.6, 0.48], [0.2, 0.4, 0.6, 0.6]
    found = (
        HEADS["ssd"]
        .make(Settings())
        .decode(
            outputs([(700, near, 0, 1.0), (701, [0.2, 0.3, 0.6, 0.5], 0, 2.0), (702, far, 0, 0.5)], classes=1)
        )
    )
    assert found.scores == pytest.approx([1 / (1 + np.exp(-2)), 1 / (1 + np.exp(-0.5))])


def test_outputs_may_be_swapped() -> None:
    encodings, logits = outputs([(5, [0.1, 0.1, 0.2, 0.3], 0, 3.0)], classes=1)
    head = HEADS["ssd"].make(Settings(classes=1))
    shapes = [logits.shape, encodings.shape]
    assert head.misfit(shapes) == ""
    assert head.classes(shapes) == 1
    assert head.decode([logits, encodings]).scores == pytest.approx([1 / (1 + np.exp(-3))])


def test_a_size_beyond_any_picture_is_no_overflow() -> None:
    encodings, logits = outputs([(5, [0.1, 0.1, 0.2, 0.3], 0, 3.0)], classes=1)
    encodings[1, 5, 0, 2:] = 1e6
    assert HEADS["ssd"].make(Settings()).decode([encodings, logits]).corners.tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize(
    ("shapes", "settings", "fits"),
    [
        ([(-1, 1917, 4), (-1, 1917, 2)], Settings(classes=1), True),
        ([(-1, 1917, 1, 4), (-1, 1917, 91)], Settings(), True),
        ([(-1, 1917, 4), (-1, 1917, 4)], Settings(classes=3), True),
        ([(-1, 2034, 4), (-1, 2034, 91)], Settings(size=320), True),
        pytest.param([(-1, 2034, 4), (-1, 2034, 91)], Settings(), False, id="other anchors"),
        pytest.param([(-1, 1917, 4), (-1, 1917, 91)], Settings(classes=91), False, id="no background"),
        pytest.param([(-1, 1917, 4)], Settings(), False, id="boxes alone"),
        pytest.param([(-1, 10), (-1, 10)], Settings(), False, id="not a detector"),
    ],
)
def test_misfit(shapes: list[tuple[int, ...]], settings: Settings, fits: bool) -> None:
    assert (HEADS["ssd"].make(settings).misfit(shapes) == "") is fits


def test_misfit_says_the_anchors() -> None:
    assert "1917 anchors for 300 x 300 pixels" in HEADS["ssd"].make(Settings()).misfit([])
