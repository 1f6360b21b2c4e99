"""Models that decode their boxes and suppress overlapping ones themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.tasks import boxes
from edgemeter_converters.tasks.decoders.decoder import LEAST_SCORE, MAX_BOXES, Head, Settings


class Decoded:
    """Boxes (batch, boxes, 4) as ymin, xmin, ymax, xmax in [0, 1], classes (batch, boxes) from 0, scores
    (batch, boxes), and, where there is a fourth output, how many of them count (batch,): what TensorFlow
    Lite's TFLite_Detection_PostProcess gives, in its order. Where only the third holds whole numbers alone,
    it is taken for the classes.
    """

    def __init__(self, settings: Settings) -> None:
        self._classes = settings.classes

    def misfit(self, shapes: Sequence[tuple[int, ...]]) -> str:
        if len(shapes) in (3, 4):
            corners, classes, scores = shapes[:3]
            alike = len(corners) == 3 and corners[2] == 4 and classes == scores == corners[:2]
            if alike and (len(shapes) == 3 or len(shapes[3]) == 1):
                return ""
        return (
            "decoded wants boxes (batch, boxes, 4), classes (batch, boxes), scores (batch, boxes) "
            "and, perhaps, their number (batch,)"
        )

    def classes(self, shapes: Sequence[tuple[int, ...]]) -> int | None:  # noqa: ARG002
        return self._classes

    def decode(self, outputs: Sequence[NDArray[Any]]) -> boxes.Boxes:
        corners, classes, scores = outputs[:3]
        if _whole(scores) and not _whole(classes):
            classes, scores = scores, classes
        if not _whole(classes):
            raise ValueError(
                "the classes of the boxes are not whole numbers: decoded wants them as the second output"
            )
        counts = outputs[3] if len(outputs) == 4 else np.full(len(scores), scores.shape[1])
        return boxes.together(
            [
                _picture(index, corners[index], classes[index], scores[index], int(np.rint(count)))
                for index, count in enumerate(counts)
            ]
        )


HEAD = Head(
    name="decoded",
    summary="boxes, classes, scores and their number, as a model with its own suppression gives them",
    make=Decoded,
)


def _picture(
    index: int, corners: NDArray[Any], classes: NDArray[Any], scores: NDArray[Any], count: int
) -> boxes.Boxes:
    order = np.argsort(-scores[: max(count, 0)], kind="stable")
    chosen = order[scores[order] >= LEAST_SCORE][:MAX_BOXES]
    found = boxes.of_picture(index, corners[chosen], np.rint(classes[chosen]), scores[chosen])
    return boxes.inside(found)


def _whole(values: NDArray[Any]) -> bool:
    return bool(np.array_equal(values, np.rint(values)))
