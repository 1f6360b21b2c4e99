"""Boxes in pictures: how far they cover each other, and which of several stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """Boxes of several pictures, one after the other; what is found, and what there is to be found.

    Attributes:
        pictures: int64 (boxes,), rising: the picture that each is in, from 0.
        corners: float64 (boxes, 4): ymin, xmin, ymax, xmax as shares of the picture's height and width.
        classes: int64 (boxes,), from 0.
        scores: float64 (boxes,): how sure the model is, 0 to 1.
    """

    pictures: NDArray[np.int64]
    corners: NDArray[np.float64]
    classes: NDArray[np.int64]
    scores: NDArray[np.float64]

    def __post_init__(self) -> None:
        if (np.diff(self.pictures) < 0).any():
            raise ValueError("boxes must stand in the order of their pictures")

    def __len__(self) -> int:
        return len(self.pictures)

    def where(self, chosen: NDArray[Any]) -> Boxes:
        """Those that a mask or places choose, which leave pictures rising."""
        return Boxes(
            pictures=self.pictures[chosen],
            corners=self.corners[chosen],
            classes=self.classes[chosen],
            scores=self.scores[chosen],
        )


def of_picture(picture: int, corners: NDArray[Any], classes: NDArray[Any], scores: NDArray[Any]) -> Boxes:
    """One picture's boxes."""
    return Boxes(
        pictures=np.full(len(corners), picture, dtype=np.int64),
        corners=corners.astype(np.float64).reshape(-1, 4),
        classes=classes.astype(np.int64),
        scores=scores.astype(np.float64),
    )


def together(parts: Sequence[Boxes]) -> Boxes:
    """Several pictures' boxes, in the order given."""
    return Boxes(
        pictures=np.concatenate([np.zeros(0, np.int64), *(each.pictures for each in parts)]),
        corners=np.concatenate([np.zeros((0, 4)), *(each.corners for each in parts)]),
        classes=np.concatenate([np.zeros(0, np.int64), *(each.classes for each in parts)]),
        scores=np.concatenate([np.zeros(0), *(each.scores for each in parts)]),
    )


def inside(boxes: Boxes) -> Boxes:
    """Boxes cut to what their picture shows; those without any area there are left out."""
    cut = replace(boxes, corners=np.clip(boxes.corners, 0.0, 1.0))
    return cut.where(_areas(cut.corners) > 0)


def iou(these: NDArray[Any], those: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union, (these, those), of corners (boxes, 4); 0 for two boxes without any area."""
    top_left = np.maximum(these[:, None, :2], those[None, :, :2])
    bottom_right = np.minimum(these[:, None, 2:], those[None, :, 2:])
    shared = np.maximum(bottom_right - top_left, 0.0).prod(axis=2)
    union = _areas(these)[:, None] + _areas(those)[None, :] - shared
    share = np.divide(shared, union, out=np.zeros(shared.shape), where=union > 0)
    return np.asarray(share, dtype=np.float64)


def nms(boxes: Boxes, *, overlap: float, limit: int) -> NDArray[np.int64]:
    """Non-maximum suppression in one picture, each class by itself: which boxes stay, the best first.

    The best box stays, those of its class that overlap it by more than `overlap` (IoU) go, and so on with the
    best of the rest until `limit` stay. Of equal scores the first is the better.
    """
    order = np.argsort(-boxes.scores, kind="stable")
    # Column by column: for a few thousand boxes this is several times as fast as arrays of pairs.
    y0, x0, y1, x1 = np.ascontiguousarray(boxes.corners[order].T)
    area, classes = _areas(boxes.corners[order]), boxes.classes[order]
    rest = np.arange(len(order))
    stay: list[int] = []
    while rest.size and len(stay) < limit:
        best, rest = rest[0], rest[1:]
        stay.append(int(best))
        high = np.minimum(y1[rest], y1[best]) - np.maximum(y0[rest], y0[best])
        wide = np.minimum(x1[rest], x1[best]) - np.maximum(x0[rest], x0[best])
        shared = np.maximum(high, 0.0) * np.maximum(wide, 0.0)
        goes = shared > overlap * (area[rest] + area[best] - shared)
        rest = rest[~(goes & (classes[rest] == classes[best]))]
    return order[np.array(stay, dtype=np.int64)]


def _areas(corners: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.maximum(corners[:, 2:] - corners[:, :2], 0.0).prod(axis=1))
