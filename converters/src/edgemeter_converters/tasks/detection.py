"""What is where in a picture: average precision of boxes, as COCO defines it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.steps.parameter import Argument, Arguments, Kind, Parameter, canonical
from edgemeter_converters.tasks import bootstrap
from edgemeter_converters.tasks.average_precision import OVERLAPS, OfClass, average_precision, match
from edgemeter_converters.tasks.boxes import Boxes
from edgemeter_converters.tasks.decoders import HEADS, Settings
from edgemeter_converters.tasks.task import LABELS, ORIGINAL, TaskKind, Truth
from edgemeter_protos.v1 import variant_pb2

NAME = "detection"
PARAMETERS = (
    Parameter(
        name="head",
        kind=Kind.CHOICE,
        choices=tuple(HEADS),
        required=True,
        positional=True,
        help="how boxes are read off the outputs",
    ),
    Parameter(
        name="classes",
        kind=Kind.COUNT,
        low=1,
        help="how many classes there are, without a background; as the outputs say where left out",
    ),
    Parameter(
        name="size",
        kind=Kind.COUNT,
        low=32,
        high=4096,
        default=300,
        help="pixels of the input's side, which say where ssd's anchors are",
    ),
    Parameter(
        name="threshold",
        kind=Kind.SHARE,
        default=0.3,
        help="score from which a box of the original is one that agreement asks for",
    ),
)
_EVERY, _HALF = tuple(range(len(OVERLAPS))), (0,)
_SLACK = 1e-3
"""By which labels may leave the picture, rounded as they are."""


class Detection:
    """A detector with one of the heads in `decoders`, which say what its outputs are.

    Labels are (samples, most boxes of a picture, 5), floats: ymin, xmin, ymax, xmax in [0, 1] and the class
    from 0; rows that stand for nothing have class -1.
    """

    sample_noun = "frame"
    needs_original = True
    needs_inputs = False

    def __init__(self, arguments: Arguments) -> None:
        classes = arguments["classes"]
        self.text = str(canonical(NAME, PARAMETERS, arguments))
        self._threshold = _number(arguments["threshold"])
        self._classes = None if classes is None else int(_number(classes))
        settings = Settings(classes=self._classes, size=int(_number(arguments["size"])))
        self._head = HEADS[str(arguments["head"])].make(settings)

    def fits(self, signature: variant_pb2.Signature) -> bool:
        return not self._head.misfit([tuple(each.shape) for each in signature.outputs])

    def misfit(self, labels: variant_pb2.TensorSpec) -> str:
        if len(labels.shape) == 2 and labels.shape[1] == 5 and np.dtype(labels.dtype).kind == "f":
            return ""
        return (
            f"the labels are {labels.dtype} of shape {tuple(labels.shape)} a sample, detection wants floats "
            "of shape (boxes, 5): ymin, xmin, ymax, xmax in [0, 1], class"
        )

    def metrics(self, outputs: Sequence[NDArray[Any]], truth: Truth) -> tuple[variant_pb2.Quality, ...]:
        """Against labels `map` (mean over IoU 0.50, 0.55, … 0.95) and `map50` (IoU 0.50). Against the
        original `agreement_map50` and `agreement_map`: the same with its boxes of at least the task's
        `threshold` as if they were labels; that is no quality, and unscored where it finds none.

        All boxes of a score of at least 0.01 count, at most 100 a picture. Intervals are those of
        `bootstrap.interval`, over pictures: classes and boxes of one picture depend on each other.
        """
        found = self._decoded(outputs, "the outputs")
        pictures = len(outputs[0])
        metrics = []
        if truth.labels is not None:
            wanted = _wanted(truth.labels, pictures, self._most_classes(outputs))
            if len(wanted) == 0:
                raise ValueError("the labels hold no box at all: there is nothing that detection could find")
            matched = match(found, wanted, pictures)
            metrics += [
                _quality("map", LABELS, matched, _EVERY, pictures),
                _quality("map50", LABELS, matched, _HALF, pictures),
            ]
        if truth.original is not None:
            wanted = self._decoded(truth.original, "the original's outputs")
            wanted = wanted.where(wanted.scores >= self._threshold)
            matched = match(found, wanted, pictures)
            metrics += [
                self._agreement("agreement_map50", matched, _HALF, pictures),
                self._agreement("agreement_map", matched, _EVERY, pictures),
            ]
        return tuple(metrics)

    def _decoded(self, outputs: Sequence[NDArray[Any]], whose: str) -> Boxes:
        if misfit := self._head.misfit([each.shape for each in outputs]):
            shapes = ", ".join(str(each.shape) for each in outputs)
            raise ValueError(f"{whose} have shapes {shapes}: {misfit}")
        if not all(np.isfinite(each).all() for each in outputs):
            raise ValueError(f"{whose} hold values that are not numbers (NaN or infinite)")
        return self._head.decode(outputs)

    def _most_classes(self, outputs: Sequence[NDArray[Any]]) -> int | None:
        return self._classes or self._head.classes([each.shape for each in outputs])

    def _agreement(
        self, metric: str, matched: Sequence[OfClass], overlaps: Sequence[int], pictures: int
    ) -> variant_pb2.Quality:
        if matched:
            return _quality(metric, ORIGINAL, matched, overlaps, pictures)
        return variant_pb2.Quality(
            metric=metric,
            against=ORIGINAL,
            unscored_reason=(
                f"the original finds nothing with a score of {self._threshold:g} or more in {pictures} "
                "pictures: give others, or a lower threshold to the task"
            ),
        )


KIND = TaskKind(
    name=NAME,
    summary="What is where in a picture: COCO's mean average precision, agreement with the original's boxes",
    make=Detection,
    parameters=PARAMETERS,
    example="detection(ssd, classes=1)",
)


def _number(argument: Argument) -> float:
    if isinstance(argument, int | float):
        return argument
    raise TypeError(f"{argument!r} is no number")


def _wanted(labels: NDArray[Any], pictures: int, classes: int | None) -> Boxes:
    """The boxes that labels stand for.

    Raises:
        ValueError: they are none, or not one sample's for each output.
    """
    if labels.ndim != 3 or labels.shape[2] != 5 or len(labels) != pictures or pictures == 0:
        raise ValueError(
            f"{pictures} outputs, but labels of shape {labels.shape}: wants ({pictures}, boxes, 5)"
        )
    places = np.argwhere(labels[..., 4] != -1)
    rows = labels[places[:, 0], places[:, 1]].astype(np.float64)
    corners, of_class = rows[:, :4], rows[:, 4]
    usable = (
        (of_class >= 0)
        & (of_class == np.rint(of_class))
        & (of_class < (np.inf if classes is None else classes))
        & (corners >= -_SLACK).all(axis=1)
        & (corners <= 1 + _SLACK).all(axis=1)
        & (corners[:, :2] <= corners[:, 2:]).all(axis=1)
    )
    if not usable.all():
        first = int(np.argmin(usable))
        picture, box = places[first]
        values = ", ".join(f"{value:g}" for value in rows[first])
        most = "" if classes is None else f" below {classes}"
        raise ValueError(
            f"labels of sample {picture}, box {box}: {values} is no box: wants ymin, xmin, ymax, xmax in "
            f"[0, 1] and a whole class{most}, or -1 for no box"
        )
    return Boxes(
        pictures=places[:, 0].astype(np.int64),
        corners=corners,
        classes=of_class.astype(np.int64),
        scores=np.ones(len(rows)),
    )


def _quality(
    metric: str, against: str, matched: Sequence[OfClass], overlaps: Sequence[int], pictures: int
) -> variant_pb2.Quality:
    made = variant_pb2.Quality(
        metric=metric,
        value=float(average_precision(matched, overlaps)[0]),
        samples=pictures,
        against=against,
    )
    interval = bootstrap.interval(lambda draws: average_precision(matched, overlaps, draws), pictures)
    if interval is not None:
        made.ci95_low, made.ci95_high = interval
    return made
