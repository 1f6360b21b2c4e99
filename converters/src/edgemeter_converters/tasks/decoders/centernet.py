"""The head of CenterNet detectors that regress a box's four sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.tasks import boxes
from edgemeter_converters.tasks.decoders.decoder import LEAST_SCORE, MAX_BOXES, Head, Settings

STRIDE = 4
"""Pixels of the input between two cells."""
_SLACK = 0.01
"""By which a quantized sigmoid may leave [0, 1]."""


class CenterNet:
    """Two outputs on one grid of cells, `STRIDE` input pixels apart: how sure it is that an object of a class
    has its centre there, (batch, rows, columns, classes), after the sigmoid; and how far the box's left, top,
    right and bottom side are from there in input pixels, (batch, rows, columns, 4). In any order.

    A centre is found where a cell is its 3 by 3 neighbourhood's largest: that stands for the suppression of
    neighbours (X. Zhou, D. Wang, P. Krähenbühl, Objects as Points, arXiv:1904.07850, section 4). Sides as in
    Z. Liu et al., Training-Time-Friendly Network, arXiv:1909.00700.
    """

    def __init__(self, settings: Settings) -> None:
        self._classes = settings.classes

    def misfit(self, shapes: Sequence[tuple[int, ...]]) -> str:
        if len(shapes) == 2 and all(len(shape) == 4 for shape in shapes):
            heat, sides = (shapes[each] for each in self._order(shapes))
            if sides[3] == 4 and heat[1:3] == sides[1:3] and self._classes in (None, heat[3]):
                return ""
        channels = "classes" if self._classes is None else f"{self._classes} classes"
        return (
            f"centernet wants a heat map (batch, rows, columns, {channels}) "
            "and sides (batch, rows, columns, 4)"
        )

    def classes(self, shapes: Sequence[tuple[int, ...]]) -> int | None:
        return shapes[self._order(shapes)[0]][3]

    def decode(self, outputs: Sequence[NDArray[Any]]) -> boxes.Boxes:
        first, second = self._order([each.shape for each in outputs])
        heat, sides = outputs[first], outputs[second]
        if heat.size and (heat.min() < -_SLACK or heat.max() > 1 + _SLACK):
            raise ValueError(
                f"the heat map holds values from {heat.min():.3g} to {heat.max():.3g}: "
                "centernet wants it after its sigmoid, between 0 and 1"
            )
        return boxes.together([_picture(index, heat[index], sides[index]) for index in range(len(heat))])

    def _order(self, shapes: Sequence[tuple[int, ...]]) -> tuple[int, int]:
        """Which of two outputs holds the heat, and which the sides; in this order where both may be."""
        of_first, of_second = shapes[0][-1], shapes[1][-1]
        swapped = of_second != 4 and of_first == 4
        return (1, 0) if swapped else (0, 1)


HEAD = Head(
    name="centernet",
    summary="a heat map of centres after its sigmoid, and the distances of a box's sides in pixels",
    make=CenterNet,
)


def _picture(index: int, heat: NDArray[Any], sides: NDArray[Any]) -> boxes.Boxes:
    """Of one picture: heat (rows, columns, classes), sides (rows, columns, 4)."""
    rows, columns, _classes = heat.shape
    y, x, classes = peaks(heat, LEAST_SCORE)
    scores = heat[y, x, classes]
    best = np.argsort(-scores, kind="stable")[:MAX_BOXES]
    y, x, classes, scores = y[best], x[best], classes[best], scores[best]
    left, top, right, bottom = sides[y, x].astype(np.float64).T / STRIDE
    # Cells are points: the first is at pixel 0, not in the middle of the first four.
    corners = np.stack(
        [(y - top) / rows, (x - left) / columns, (y + bottom) / rows, (x + right) / columns], axis=1
    )
    return boxes.inside(boxes.of_picture(index, corners, classes, np.clip(scores, 0.0, 1.0)))


def peaks(heat: NDArray[Any], least: float) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows, columns and classes where (rows, columns, classes) is at least `least` and no smaller than its
    eight neighbours."""
    around = heat.copy()
    np.maximum(around[1:], heat[:-1], out=around[1:])
    np.maximum(around[:-1], heat[1:], out=around[:-1])
    of_rows = around.copy()
    np.maximum(around[:, 1:], of_rows[:, :-1], out=around[:, 1:])
    np.maximum(around[:, :-1], of_rows[:, 1:], out=around[:, :-1])
    y, x, classes = np.nonzero((heat >= least) & (heat >= around))
    return y, x, classes
