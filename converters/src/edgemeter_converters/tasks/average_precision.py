"""Average precision of detections as COCO defines it: one number for how well boxes are found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.tasks.boxes import Boxes, iou
from edgemeter_converters.tasks.decoders.decoder import MAX_BOXES

OVERLAPS = np.linspace(0.5, 0.95, 10)
"""IoU from which a box counts as found."""
RECALLS = np.linspace(0.0, 1.0, 101)
"""Where precision is read off."""


@dataclass(frozen=True, kw_only=True)
class OfClass:
    """What is needed of one class, for average precision over any choice of the pictures.

    Attributes:
        wanted: (pictures,): boxes that there are to be found.
        pictures: (boxes,): of each found box, by falling score.
        right: bool (overlaps, boxes): whether it is one of the wanted, found first.
    """

    wanted: NDArray[np.int64]
    pictures: NDArray[np.int64]
    right: NDArray[np.bool_]


def match(found: Boxes, wanted: Boxes, pictures: int) -> tuple[OfClass, ...]:
    """Of each class that there is to be found somewhere: which found boxes are right.

    In each picture the surest box takes the wanted one that it overlaps most, among those that nobody took
    and that it overlaps enough, then the next. As pycocotools' COCOeval does it (T.-Y. Lin et al., Microsoft
    COCO, arXiv:1405.0312), without areas or crowds: at most MAX_BOXES of a picture and class count.
    """
    return tuple(
        _match_class(found.where(found.classes == each), wanted.where(wanted.classes == each), pictures)
        for each in np.unique(wanted.classes)
    )


def average_precision(
    classes: Sequence[OfClass], overlaps: Sequence[int], weights: NDArray[Any] | None = None
) -> NDArray[np.float64]:
    """Mean over classes and `overlaps` (places in OVERLAPS) of the precision at RECALLS, the best at that
    recall or a higher one.

    Args:
        classes: at least one.
        weights: (choices, pictures): how often each picture is in each choice; each once where left out.

    Returns:
        (choices,): 0 to 1; not a number where a choice holds no box to be found.
    """
    choices = np.ones((1, len(classes[0].wanted))) if weights is None else weights
    sums, terms = np.zeros(len(choices)), np.zeros(len(choices))
    for each in classes:
        wanted = choices @ each.wanted
        of_boxes = choices[:, each.pictures]
        taken = of_boxes.cumsum(axis=1)
        for overlap in overlaps:
            sums += _precision(of_boxes, taken, each.right[overlap], wanted)
        terms += (wanted > 0) * len(overlaps)
    return np.asarray(np.divide(sums, terms, out=np.full(len(choices), np.nan), where=terms > 0))


def _match_class(found: Boxes, wanted: Boxes, pictures: int) -> OfClass:
    kept, right = [], []
    for picture in np.unique(found.pictures):
        start, end = np.searchsorted(found.pictures, [picture, picture + 1])
        first, last = np.searchsorted(wanted.pictures, [picture, picture + 1])
        places = start + np.argsort(-found.scores[start:end], kind="stable")[:MAX_BOXES]
        kept.append(places)
        right.append(_right(found.corners[places], wanted.corners[first:last]))
    all_kept = np.concatenate([np.zeros(0, np.int64), *kept])
    order = np.argsort(-found.scores[all_kept], kind="stable")
    return OfClass(
        wanted=np.bincount(wanted.pictures, minlength=pictures),
        pictures=found.pictures[all_kept][order],
        right=np.concatenate([np.zeros((len(OVERLAPS), 0), np.bool_), *right], axis=1)[:, order],
    )


def _right(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(overlaps, found) of one picture and class, from corners, those found by falling score."""
    right = np.zeros((len(OVERLAPS), len(found)), np.bool_)
    if len(wanted) == 0:
        return right
    overlap = iou(found, wanted)
    every = np.arange(len(OVERLAPS))
    free = np.ones((len(OVERLAPS), len(wanted)), np.bool_)
    for place in np.flatnonzero(overlap.max(axis=1) >= OVERLAPS[0]):
        candidates = np.where(free, overlap[place], -1.0)
        # Of equal overlaps COCOeval takes the last.
        best = candidates.shape[1] - 1 - candidates[:, ::-1].argmax(axis=1)
        hit = candidates[every, best] >= OVERLAPS
        right[:, place] = hit
        free[every[hit], best[hit]] = False
    return right


def _precision(
    of_boxes: NDArray[Any], taken: NDArray[Any], right: NDArray[np.bool_], wanted: NDArray[Any]
) -> NDArray[np.float64]:
    """(choices,): of one class and overlap, 0 where nothing is wanted.

    Recall rises at right boxes only, and precision is highest there: the others need not be looked at.
    """
    rising = of_boxes[:, right].cumsum(axis=1)
    shown = taken[:, right]
    precision = np.divide(rising, shown, out=np.zeros(rising.shape), where=shown > 0)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = np.divide(rising, wanted[:, None], out=np.zeros(rising.shape), where=wanted[:, None] > 0)
    reached = np.searchsorted(RECALLS, recall, side="right")
    steps = np.diff(reached, axis=1, prepend=0)
    return np.asarray((best * steps).sum(axis=1) / len(RECALLS))
