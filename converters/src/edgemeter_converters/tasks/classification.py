"""One label out of several: pictures, keywords that are spotted, whether somebody is there.

Keyword spotting and visual wake words, as MLPerf Tiny has them, are classification: nothing else is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.tasks import calibration, classes, quality
from edgemeter_converters.tasks.task import LABELS, ORIGINAL, TaskKind, Truth
from edgemeter_protos.v1 import variant_pb2

TOP = 5
"""`top5` counts a label among so many; said only of more classes than that."""


class Classification:
    """A model whose one output is (batch, classes): a score for each class, logits or probabilities."""

    text = "classification"
    sample_noun = "inference"
    needs_original = True
    needs_inputs = False

    def fits(self, signature: variant_pb2.Signature) -> bool:
        return classes.scores_fit(signature)

    def misfit(self, labels: variant_pb2.TensorSpec) -> str:
        return classes.labels_misfit(labels, "classification wants one whole number from 0")

    def metrics(self, outputs: Sequence[NDArray[Any]], truth: Truth) -> tuple[variant_pb2.Quality, ...]:
        """Against labels `top1`, `top5` (of more than five classes) and `ece`, expected calibration error;
        against the original `agreement` (the same class is chosen). Shares have Wilson's 95 % interval.

        A sample counts as correct where its label's score is the highest, or among the five highest; of equal
        scores those of earlier classes count as higher.

        `ece` takes rows for probabilities where `calibration.are_probabilities` says so of the original's
        (of the outputs where nobody has those), else a softmax of them. It has no interval: it comes out too
        large by about as much as it varies, so that of well calibrated models neither the percentiles of a
        bootstrap nor their mirror image hold the truth more often than every second time.
        """
        if len(outputs) != 1:
            raise ValueError(f"classification scores one output, got {len(outputs)}")
        scores = outputs[0]
        if scores.ndim != 2:
            raise ValueError(f"classification scores outputs (samples, classes), got shape {scores.shape}")
        if np.isnan(scores).any():
            raise ValueError("the outputs hold values that are not a number (NaN)")
        original = truth.original[0] if truth.original is not None else None
        if original is not None and original.shape != scores.shape:
            raise ValueError(f"outputs of shape {scores.shape}, but the original's of {original.shape}")
        found = []
        if truth.labels is not None:
            classes.check_labels(truth.labels, scores)
            ranks = _ranks(scores, truth.labels)
            found.append(quality.share("top1", LABELS, ranks == 0))
            if scores.shape[1] > TOP:
                found.append(quality.share("top5", LABELS, ranks < TOP))
            found.append(_calibration_error(scores, ranks == 0, scores if original is None else original))
        if original is not None:
            same = scores.argmax(axis=1) == original.argmax(axis=1)
            found.append(quality.share("agreement", ORIGINAL, same))
        return tuple(found)


KIND = TaskKind(
    name="classification",
    summary="One label out of several: top-1, top-5, calibration error, agreement with the original",
    make=lambda _arguments: Classification(),
    guessed=True,
    scores_classes=True,
)


def _ranks(scores: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int64]:
    """(samples,): how many classes come before each label."""
    of_label = np.take_along_axis(scores, labels[:, None], axis=1)
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    before = (scores > of_label) | ((scores == of_label) & earlier)
    return np.asarray(np.count_nonzero(before, axis=1), dtype=np.int64)


def _calibration_error(
    scores: NDArray[Any], right: NDArray[np.bool_], decides: NDArray[Any]
) -> variant_pb2.Quality:
    probabilities = calibration.are_probabilities(decides)
    confidence = calibration.confidences(scores, probabilities=probabilities)
    return variant_pb2.Quality(
        metric="ece",
        value=calibration.expected_error(confidence, right),
        samples=len(scores),
        against=LABELS,
        lower_is_better=True,
    )
