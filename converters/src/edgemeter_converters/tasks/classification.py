"""One label out of several: top-1 accuracy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_protos.v1 import variant_pb2

_Z_95 = 1.959963984540054
"""The normal distribution's 97.5 % quantile."""


class Classification:
    """A model whose one output is (batch, classes): a score for each class, logits or probabilities."""

    name = "classification"

    def fits(self, signature: variant_pb2.Signature) -> bool:
        if len(signature.outputs) != 1:
            return False
        shape = signature.outputs[0].shape
        return len(shape) == 2 and shape[1] >= 2

    def score(self, outputs: Sequence[NDArray[Any]], labels: NDArray[np.integer[Any]]) -> variant_pb2.Quality:
        """Top-1 accuracy with Wilson's 95 % interval.

        A sample counts as correct where its label's score is the highest (the first one, if several tie).

        Args:
            outputs: one array, (samples, classes), real values.
            labels: (samples,), integers from 0.

        Raises:
            ValueError: another number of arrays or of dimensions, as many rows as labels are not there, no
                sample at all, a label beyond the classes, or a value that is not a number.
        """
        if len(outputs) != 1:
            raise ValueError(f"classification scores one output, got {len(outputs)}")
        scores = outputs[0]
        if scores.ndim != 2:
            raise ValueError(f"classification scores outputs (samples, classes), got shape {scores.shape}")
        if labels.shape != (len(scores),) or len(labels) == 0:
            raise ValueError(f"{len(scores)} outputs, but labels of shape {labels.shape}")
        if labels.min() < 0 or labels.max() >= scores.shape[1]:
            raise ValueError(
                f"labels from {labels.min()} to {labels.max()}, but outputs for {scores.shape[1]} classes"
            )
        if np.isnan(scores).any():
            raise ValueError("the outputs hold values that are not a number (NaN)")
        correct = int(np.count_nonzero(scores.argmax(axis=1) == labels))
        low, high = wilson_interval(correct, len(labels))
        return variant_pb2.Quality(
            metric="top1", value=correct / len(labels), samples=len(labels), ci95_low=low, ci95_high=high
        )


def wilson_interval(correct: int, samples: int, z: float = _Z_95) -> tuple[float, float]:
    """Interval of a proportion, both ends in [0, 1]: 95 % with the usual `z`.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927);
    chosen after Brown, Cai and DasGupta, Statistical Science 16 (2001), for being right near 0 and 1 too.
    """
    share = correct / samples
    denominator = 1 + z * z / samples
    centre = (share + z * z / (2 * samples)) / denominator
    half = z / denominator * math.sqrt(share * (1 - share) / samples + z * z / (4 * samples * samples))
    # At 0 and 1 the formula's own end is exact; rounding must not leave the share outside.
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))
