"""The head of SSD detectors on MobileNet, before its boxes are decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.tasks import boxes
from edgemeter_converters.tasks.activations import sigmoid
from edgemeter_converters.tasks.anchors import ssd_anchors
from edgemeter_converters.tasks.decoders.decoder import LEAST_SCORE, MAX_BOXES, Head, Settings

OVERLAP = 0.6
"""IoU above which the less sure of two boxes of a class goes: the field's configurations'."""
CENTRE_SCALE, SIZE_SCALE = 10.0, 5.0
"""Encodings are these times as large as what they say: variances 0.1 and 0.2."""
LARGEST_GROWTH = 10.0
"""Of a size's logarithm: far beyond any picture, and no overflow."""


class SSD:
    """Two outputs: box encodings (batch, anchors, 4) or (batch, anchors, 1, 4), as ty, tx, th, tw; and class
    scores (batch, anchors, 1 + classes) before their sigmoid, the background first. They are the TensorFlow
    Object Detection API's `concat` and `concat_1`, in this order, or swapped where their shapes tell.

    Decoding: `FasterRcnnBoxCoder` (S. Ren et al., arXiv:1506.01497, equation 2) with its scales 10, 10, 5, 5.
    Each class but the background may be found at each anchor.
    """

    def __init__(self, settings: Settings) -> None:
        self._classes = settings.classes
        self._size = settings.size
        self._anchors = ssd_anchors(settings.size)

    def misfit(self, shapes: Sequence[tuple[int, ...]]) -> str:
        if len(shapes) == 2:
            encodings, scores = (shapes[each] for each in _order(shapes))
            channels = {scores[-1]} - {1} if self._classes is None else {1 + self._classes}
            if _is_encodings(encodings) and len(scores) == 3 and scores[2] in channels:
                anchors = {encodings[1], scores[1]} - {-1}
                if anchors <= {len(self._anchors)}:
                    return ""
        channels_text = "1 + classes" if self._classes is None else f"1 + {self._classes} classes"
        return (
            f"ssd wants box encodings (batch, {len(self._anchors)}, 4) and class scores "
            f"(batch, {len(self._anchors)}, {channels_text}): there are {len(self._anchors)} anchors for "
            f"{self._size} x {self._size} pixels (size={self._size})"
        )

    def classes(self, shapes: Sequence[tuple[int, ...]]) -> int | None:
        return shapes[_order(shapes)[1]][2] - 1

    def decode(self, outputs: Sequence[NDArray[Any]]) -> boxes.Boxes:
        first, second = _order([each.shape for each in outputs])
        encodings = outputs[first].reshape(len(outputs[first]), -1, 4)
        scores = outputs[second]
        return boxes.together(
            [self._picture(index, encodings[index], scores[index]) for index in range(len(scores))]
        )

    def _picture(self, index: int, encodings: NDArray[Any], logits: NDArray[Any]) -> boxes.Boxes:
        scores = sigmoid(logits[:, 1:])
        anchors, classes = np.nonzero(scores >= LEAST_SCORE)
        found = boxes.of_picture(
            index, corners_of(encodings[anchors], self._anchors[anchors]), classes, scores[anchors, classes]
        )
        # Boxes are cut to the picture after suppression: what overlaps outside of it counts.
        return boxes.inside(found.where(boxes.nms(found, overlap=OVERLAP, limit=MAX_BOXES)))


HEAD = Head(
    name="ssd",
    summary="box encodings and class scores against the anchors of TensorFlow's Object Detection API",
    make=SSD,
)


def corners_of(encodings: NDArray[Any], anchors: NDArray[np.float64]) -> NDArray[np.float64]:
    """ymin, xmin, ymax, xmax of encodings (boxes, 4), each against its anchor (boxes, 4)."""
    encodings = encodings.astype(np.float64)
    centres = encodings[:, :2] / CENTRE_SCALE * anchors[:, 2:] + anchors[:, :2]
    sizes = np.exp(np.minimum(encodings[:, 2:] / SIZE_SCALE, LARGEST_GROWTH)) * anchors[:, 2:]
    return np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)


def _order(shapes: Sequence[tuple[int, ...]]) -> tuple[int, int]:
    """Which of two outputs holds the encodings, and which the scores."""
    first, second = (_is_encodings(shape) for shape in shapes)
    return (1, 0) if second and not first else (0, 1)


def _is_encodings(shape: tuple[int, ...]) -> bool:
    return (len(shape) == 3 and shape[2] == 4) or (len(shape) == 4 and shape[2:] == (1, 4))
