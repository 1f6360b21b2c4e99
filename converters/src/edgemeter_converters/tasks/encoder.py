"""Embeddings: whether the same things stay near each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.steps.parameter import Arguments, Kind, Parameter, canonical
from edgemeter_converters.tasks import classes, quality
from edgemeter_converters.tasks.probe import FOLDS, probe
from edgemeter_converters.tasks.task import LABELS, ORIGINAL, TaskKind, Truth
from edgemeter_protos.v1 import variant_pb2

AS_NEAR = 1e-5
"""Cosines closer than this are a tie: which of two equal texts is nearer is the rounding's choice."""

_ROWS = 1024
"""Samples whose cosines to all others are held at a time."""

_PARAMETERS = (
    Parameter(
        name="mask",
        kind=Kind.COUNT,
        help="which input, counted from 0, is 1 at tokens and 0 at padding, where the model does not pool",
    ),
)


class Encoder:
    """A model whose first output is an embedding (batch, dimensions), or one for each token (batch, tokens,
    dimensions): then their mean over the tokens is a sample's embedding; over those that `mask` does not call
    padding, where it is given."""

    sample_noun = "inference"
    needs_original = True

    def __init__(self, arguments: Arguments) -> None:
        self.text = str(canonical("encoder", _PARAMETERS, arguments))
        mask = arguments["mask"]
        self._mask = mask if isinstance(mask, int) else None
        self.needs_inputs = self._mask is not None

    def fits(self, signature: variant_pb2.Signature) -> bool:
        if not signature.outputs or (self._mask is not None and self._mask >= len(signature.inputs)):
            return False
        shape = signature.outputs[0].shape
        return len(shape) in ((2, 3) if self._mask is None else (3,)) and shape[-1] != 1

    def misfit(self, labels: variant_pb2.TensorSpec) -> str:
        return classes.labels_misfit(
            labels, "encoder wants one whole number, the class that a probe is to tell from embeddings"
        )

    def metrics(self, outputs: Sequence[NDArray[Any]], truth: Truth) -> tuple[variant_pb2.Quality, ...]:
        """Against labels: `probe_accuracy`, the share of samples whose class a linear classifier tells from
        their embeddings, trained on others' (`probe`); for ten samples or more of two classes or more.

        Against the original: `neighbour_agreement`, the share of samples whose nearest other sample, by
        cosine, is their nearest by the original's embeddings too (for three samples or more), and `cosine`,
        the mean cosine between a sample's embedding and the original's. The probe hides damage that the
        neighbours show.

        Intervals: Wilson's of the shares, Student's t of the cosine. They are for other samples of the same
        kind, and take what was chosen for one sample as independent of the others.
        """
        if not outputs:
            raise ValueError("encoder scores an output, got none")
        found = []
        embeddings = self._embeddings(outputs[0], truth, "the outputs")
        if truth.labels is not None:
            if truth.labels.shape != (len(embeddings),):
                raise ValueError(f"{len(embeddings)} outputs, but labels of shape {truth.labels.shape}")
            if len(embeddings) >= 2 * FOLDS and len(np.unique(truth.labels)) > 1:
                right = probe(embeddings, truth.labels) == truth.labels
                found.append(quality.share("probe_accuracy", LABELS, right))
        if truth.original is not None:
            original = self._embeddings(truth.original[0], truth, "the original's outputs")
            if original.shape != embeddings.shape:
                raise ValueError(
                    f"embeddings of shape {embeddings.shape}, but the original's of {original.shape}"
                )
            if len(embeddings) > 2:
                found.append(
                    quality.share("neighbour_agreement", ORIGINAL, same_nearest(embeddings, original))
                )
            cosines = (embeddings * original).sum(axis=1)
            found.append(quality.mean("cosine", ORIGINAL, cosines, low=-1, high=1))
        return tuple(found)

    def _embeddings(self, values: NDArray[Any], truth: Truth, whose: str) -> NDArray[np.float64]:
        """(samples, dimensions), each of length 1; an embedding of zeros stays."""
        if values.ndim not in (2, 3) or values.size == 0:
            raise ValueError(
                f"encoder scores outputs (samples, dimensions) or (samples, tokens, dimensions), got {whose} "
                f"of shape {values.shape}"
            )
        if not np.isfinite(values).all():
            raise ValueError(f"{whose} hold values that are not numbers (NaN or infinite)")
        pooled = values.astype(np.float64)
        if values.ndim == 3:
            counted = self._counted(values.shape[:2], truth)
            pooled = (pooled * counted[..., None]).sum(axis=1)
            pooled /= np.maximum(counted.sum(axis=1, keepdims=True), 1)
        length = np.linalg.norm(pooled, axis=1, keepdims=True)
        return np.asarray(pooled / np.where(length > 0, length, 1))

    def _counted(self, shape: tuple[int, ...], truth: Truth) -> NDArray[np.float64]:
        if self._mask is None:
            return np.ones(shape)
        if self._mask >= len(truth.inputs):
            raise ValueError(f"{self.text} wants input {self._mask}, got {len(truth.inputs)} inputs")
        mask = truth.inputs[self._mask]
        if mask.shape != shape:
            raise ValueError(f"{self.text}: the mask has shape {mask.shape}, tokens have {shape}")
        return np.asarray(mask != 0, np.float64)


KIND = TaskKind(
    name="encoder",
    summary="Embeddings: nearest neighbours that stay the same, cosine to the original's, a probe's accuracy",
    make=Encoder,
    parameters=_PARAMETERS,
    example="encoder(mask=1)",
)


def same_nearest(embeddings: NDArray[Any], original: NDArray[Any]) -> NDArray[np.bool_]:
    """For each sample, whether its nearest other by `embeddings` is its nearest by `original`'s, or as near.

    Args:
        embeddings, original: (samples, dimensions), each of length 1 or 0.
    """
    samples = len(embeddings)
    same = np.zeros(samples, np.bool_)
    for start in range(0, samples, _ROWS):
        rows = np.arange(start, min(start + _ROWS, samples))
        local = np.arange(len(rows))
        by_variant = embeddings[rows] @ embeddings.T
        by_original = original[rows] @ original.T
        by_variant[local, rows] = by_original[local, rows] = -np.inf
        nearest = by_variant.argmax(axis=1)
        same[rows] = by_original[local, nearest] >= by_original.max(axis=1) - AS_NEAR
    return same
