"""One label out of several: top-1 accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.tasks.intervals import wilson_interval
from edgemeter_converters.tasks.task import LABELS, ORIGINAL, TaskKind, Truth
from edgemeter_protos.v1 import variant_pb2


class Classification:
    """A model whose one output is (batch, classes): a score for each class, logits or probabilities."""

    text = "classification"
    sample_noun = "inference"
    needs_original = True
    needs_inputs = False

    def fits(self, signature: variant_pb2.Signature) -> bool:
        if len(signature.outputs) != 1:
            return False
        shape = signature.outputs[0].shape
        return len(shape) == 2 and shape[1] >= 2

    def misfit(self, labels: variant_pb2.TensorSpec) -> str:
        if len(labels.shape) == 0 and np.dtype(labels.dtype).kind in "iu":
            return ""
        return (
            f"the labels are {labels.dtype} of shape {tuple(labels.shape)} a sample, "
            "classification wants one whole number from 0"
        )

    def metrics(self, outputs: Sequence[NDArray[Any]], truth: Truth) -> tuple[variant_pb2.Quality, ...]:
        """`top1` against labels, `agreement` (the same class is chosen) against the original; each with
        Wilson's 95 % interval.

        A sample counts as correct where its label's score is the highest (the first one, if several tie).
        """
        if len(outputs) != 1:
            raise ValueError(f"classification scores one output, got {len(outputs)}")
        scores = outputs[0]
        if scores.ndim != 2:
            raise ValueError(f"classification scores outputs (samples, classes), got shape {scores.shape}")
        if np.isnan(scores).any():
            raise ValueError("the outputs hold values that are not a number (NaN)")
        chosen = scores.argmax(axis=1)
        found = []
        if truth.labels is not None:
            _check_labels(truth.labels, scores)
            found.append(_share("top1", LABELS, chosen == truth.labels))
        if truth.original is not None:
            found.append(_share("agreement", ORIGINAL, chosen == truth.original[0].argmax(axis=1)))
        return tuple(found)


KIND = TaskKind(
    name="classification",
    summary="One label out of several: top-1 accuracy, agreement with the original",
    make=lambda _arguments: Classification(),
    guessed=True,
)


def _check_labels(labels: NDArray[Any], scores: NDArray[Any]) -> None:
    if labels.shape != (len(scores),) or len(labels) == 0:
        raise ValueError(f"{len(scores)} outputs, but labels of shape {labels.shape}")
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError(
            f"labels from {labels.min()} to {labels.max()}, but outputs for {scores.shape[1]} classes"
        )


def _share(metric: str, against: str, right: NDArray[Any]) -> variant_pb2.Quality:
    correct, samples = int(np.count_nonzero(right)), len(right)
    low, high = wilson_interval(correct, samples)
    return variant_pb2.Quality(
        metric=metric,
        value=correct / samples,
        samples=samples,
        ci95_low=low,
        ci95_high=high,
        against=against,
    )
