"""A model that says which character comes next: bits per character."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.tasks import classes, quality
from edgemeter_converters.tasks.calibration import are_probabilities
from edgemeter_converters.tasks.task import LABELS, ORIGINAL, TaskKind, Truth
from edgemeter_protos.v1 import variant_pb2

LEAST_PROBABILITY = 1e-6
"""What a smaller probability counts as, 19.9 bits: outputs in int8 have 0 for all below 1/512."""


class NextCharacter:
    """A model whose one output is (batch, characters): a logit or a probability for each that may be next."""

    text = "next-character"
    sample_noun = "character"
    needs_original = True
    needs_inputs = False

    def fits(self, signature: variant_pb2.Signature) -> bool:
        return classes.scores_fit(signature)

    def misfit(self, labels: variant_pb2.TensorSpec) -> str:
        return classes.labels_misfit(
            labels, "next-character wants one whole number from 0, the next character's"
        )

    def metrics(self, outputs: Sequence[NDArray[Any]], truth: Truth) -> tuple[variant_pb2.Quality, ...]:
        """Against labels: `bits_per_character`, the mean of -log2 of what the character that came was given,
        and `top1`. Against the original: `agreement` (the same character is the likeliest) and
        `kl_divergence_bits`, the mean over samples of Kullback and Leibler's divergence from the original's
        distribution: the bits more a character that the original's own text would take.

        Intervals: Student's t over samples of the means, Wilson's of the shares. Both take samples for
        independent; those that are neighbours in a text are not quite.
        """
        if len(outputs) != 1:
            raise ValueError(f"next-character scores one output, got {len(outputs)}")
        scores = outputs[0]
        _check_scores(scores)
        original = None if truth.original is None else truth.original[0]
        if original is not None and original.shape != scores.shape:
            raise ValueError(f"outputs of shape {scores.shape}, but the original's of {original.shape}")
        found: list[variant_pb2.Quality] = []
        # The original knows best: rounding leaves less of a variant's.
        probabilities = are_probabilities(scores if original is None else original)
        given = log2_probabilities(scores, probabilities=probabilities)
        if truth.labels is not None:
            classes.check_labels(truth.labels, scores, "characters")
            bits = -given[np.arange(len(scores)), truth.labels]
            right = scores.argmax(axis=1) == truth.labels
            found += [
                quality.mean("bits_per_character", LABELS, bits, lower_is_better=True, low=0),
                quality.share("top1", LABELS, right),
            ]
        if original is not None:
            expected = log2_probabilities(original, probabilities=probabilities)
            divergence = np.maximum((np.exp2(expected) * (expected - given)).sum(axis=1), 0)
            same = scores.argmax(axis=1) == original.argmax(axis=1)
            found += [
                quality.share("agreement", ORIGINAL, same),
                quality.mean("kl_divergence_bits", ORIGINAL, divergence, lower_is_better=True, low=0),
            ]
        return tuple(found)


KIND = TaskKind(
    name="next-character",
    summary="Which character comes next: bits per character, and the divergence from the original",
    make=lambda _arguments: NextCharacter(),
    scores_classes=True,
)


def log2_probabilities(scores: NDArray[Any], *, probabilities: bool) -> NDArray[np.float64]:
    """Of the classes of each sample, (samples, classes), from probabilities or from logits. Of the former
    each counts as `LEAST_PROBABILITY` at least, and what they miss 1 by is divided out."""
    values = scores.astype(np.float64)
    if probabilities:
        values = np.maximum(values, LEAST_PROBABILITY)
        return np.asarray(np.log2(values / values.sum(axis=1, keepdims=True)))
    values -= values.max(axis=1, keepdims=True)
    values -= np.log(np.exp(values).sum(axis=1, keepdims=True))
    return np.asarray(values / np.log(2))


def _check_scores(scores: NDArray[Any]) -> None:
    if scores.ndim != 2 or scores.size == 0:
        raise ValueError(f"next-character scores outputs (samples, characters), got shape {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("the outputs hold values that are not numbers (NaN or infinite)")
