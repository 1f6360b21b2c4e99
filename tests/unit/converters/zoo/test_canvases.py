"""Composed pictures, and the boxes in them."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters import tasks
from edgemeter_converters.tasks.task import Truth
from edgemeter_converters.zoo import canvases
from edgemeter_converters.zoo.nets.fashion_detector import CELLS, CLASSES, cells_of

SHAPES = np.zeros((10, 28, 28, 1), np.uint8)
for _at, _shape in enumerate(SHAPES):
    _shape[2 + _at : 26, 4 : 24 - _at] = 255
LABELS = np.arange(10)


def test_the_same_for_the_same_seed() -> None:
    first, again, other = (canvases.compose(SHAPES, LABELS, 20, seed) for seed in (1, 1, 2))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])
    # Nowhere another one: a trained net is kept by this.
    digest = hashlib.sha256(first[1].tobytes()).hexdigest()
    assert digest.startswith("7965c345a52eb2a5")


def test_boxes_are_tight_and_apart() -> None:
    pictures, boxes = canvases.compose(SHAPES, LABELS, 50, 3)
    assert pictures.shape == (50, 96, 96, 1)
    assert boxes.shape == (50, canvases.MOST, 5)
    counts = (boxes[..., 4] >= 0).sum(axis=1)
    assert set(counts) == {1, 2, 3, 4}
    for picture, found in zip(pictures[..., 0], boxes, strict=True):
        drawn = np.zeros((96, 96), int)
        for ymin, xmin, ymax, xmax in np.rint(found[found[:, 4] >= 0, :4] * 96).astype(int):
            drawn[ymin:ymax, xmin:xmax] += 1
            inside = picture[ymin:ymax, xmin:xmax]
            # Pieces are white here, and the ground is not: each side touches the piece.
            white = inside > 150
            assert all(side.any() for side in (white[:2], white[-2:], white[:, :2], white[:, -2:]))
        assert drawn.max() == 1
        assert (picture[drawn == 0] < 150).all()


def test_cells_say_what_the_head_reads() -> None:
    """Boxes as the detector is taught them, decoded as its outputs are, are the boxes."""
    _, boxes = canvases.compose(SHAPES, LABELS, 30, 4)
    task = tasks.task("detection(grid, classes=10)")
    metrics = {
        each.metric: each.value for each in task.metrics([_logits(cells_of(boxes))], Truth(labels=boxes))
    }
    assert metrics["map50"] == 1
    assert metrics["map"] == 1


def _logits(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a net that is never wrong gives."""
    shares = np.clip(cells[..., 1:5], 1e-6, 1 - 1e-6)
    classes = np.eye(CLASSES, dtype=np.float32)[cells[..., 5].astype(int)] * 20
    objectness = (cells[..., :1] * 2 - 1) * 20
    made = np.concatenate([objectness, np.log(shares / (1 - shares)), classes], axis=-1)
    assert made.shape[1:] == (CELLS, CELLS, 5 + CLASSES)
    return made.astype(np.float32)
