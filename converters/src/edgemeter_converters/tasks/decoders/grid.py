"""A plain one-stage head: a grid of cells, each of which may hold one object's centre."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.tasks import boxes
from edgemeter_converters.tasks.activations import sigmoid, softmax
from edgemeter_converters.tasks.decoders.decoder import LEAST_SCORE, MAX_BOXES, Head, Settings

OVERLAP = 0.5
"""IoU above which the less sure of two boxes of a class goes."""


class Grid:
    """One output (batch, rows, columns, 5 + classes), all before any activation: objectness, y and x of the
    centre inside the cell, height and width as shares of the picture, then the classes.

    Objectness, place and size go through a sigmoid each, the classes through a softmax: no anchors, no
    exponential that quantization would have to reach. A box's score is objectness times its best class.
    """

    def __init__(self, settings: Settings) -> None:
        self._classes = settings.classes

    def misfit(self, shapes: Sequence[tuple[int, ...]]) -> str:
        least, most = (6, np.inf) if self._classes is None else (5 + self._classes,) * 2
        if len(shapes) == 1 and len(shapes[0]) == 4 and least <= shapes[0][3] <= most:
            return ""
        channels = "5 + classes" if self._classes is None else f"5 + {self._classes} classes"
        return f"grid wants one output (batch, rows, columns, {channels})"

    def classes(self, shapes: Sequence[tuple[int, ...]]) -> int | None:
        return shapes[0][3] - 5

    def decode(self, outputs: Sequence[NDArray[Any]]) -> boxes.Boxes:
        return boxes.together([_picture(index, cells) for index, cells in enumerate(outputs[0])])


HEAD = Head(
    name="grid",
    summary="one output (batch, rows, columns, 5 + classes): objectness, centre, size, classes",
    make=Grid,
)


def _picture(index: int, cells: NDArray[Any]) -> boxes.Boxes:
    """Of one picture, (rows, columns, 5 + classes)."""
    rows, columns, _channels = cells.shape
    objectness = sigmoid(cells[..., 0])
    y, x = np.nonzero(objectness >= LEAST_SCORE)
    chosen = cells[y, x].astype(np.float64)
    place = sigmoid(chosen[:, 1:5])
    of_classes = softmax(chosen[:, 5:])
    centres = (np.stack([y, x], axis=1) + place[:, :2]) / (rows, columns)
    corners = np.concatenate([centres - place[:, 2:] / 2, centres + place[:, 2:] / 2], axis=1)
    found = boxes.of_picture(
        index, corners, of_classes.argmax(axis=1), objectness[y, x] * of_classes.max(axis=1, initial=0.0)
    )
    found = found.where(found.scores >= LEAST_SCORE)
    return boxes.inside(found.where(boxes.nms(found, overlap=OVERLAP, limit=MAX_BOXES)))
