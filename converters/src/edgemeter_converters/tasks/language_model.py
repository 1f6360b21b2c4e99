"""A model that says how likely each next token of a text is: perplexity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.tasks.intervals import mean_interval
from edgemeter_converters.tasks.task import LABELS, ORIGINAL, TaskKind, Truth
from edgemeter_protos.token_windows import OUTPUT
from edgemeter_protos.v1 import variant_pb2

_MAX_NATS = 700.0
"""exp of more is no float64."""


class LanguageModel:
    """A model whose one output is `nll`: (windows, tokens - 1), the negative log-likelihood in nats of each
    token but the first of its window, given those before it there. The text itself is the truth, so no labels
    are needed."""

    text = "language-model"
    sample_noun = "token"
    needs_original = True
    needs_inputs = False

    def fits(self, signature: variant_pb2.Signature) -> bool:
        if len(signature.outputs) != 1:
            return False
        output = signature.outputs[0]
        return output.name == OUTPUT and len(output.shape) == 2 and np.dtype(output.dtype).kind == "f"

    def misfit(self, labels: variant_pb2.TensorSpec) -> str:
        """Nothing: labels are not looked at."""
        del labels
        return ""

    def metrics(self, outputs: Sequence[NDArray[Any]], truth: Truth) -> tuple[variant_pb2.Quality, ...]:
        """`perplexity`, exp of the mean of `nll`, which is against the text and so counts as against labels;
        against the original, `perplexity_ratio`: the perplexity over the original's. `samples` are tokens.

        Tokens of a window depend on each other, windows hardly do. So intervals are Student's t of windows'
        means, for the ratio of their differences from the original's, and exp of both ends.
        """
        if len(outputs) != 1:
            raise ValueError(f"language-model scores one output, got {len(outputs)}")
        nll = _checked(outputs[0], "the outputs")
        found = [_quality("perplexity", LABELS, nll)]
        if truth.original is not None:
            original = _checked(truth.original[0], "the original's outputs")
            if original.shape != nll.shape:
                raise ValueError(f"outputs of shape {nll.shape}, but the original's of {original.shape}")
            found.append(_quality("perplexity_ratio", ORIGINAL, nll - original))
        return tuple(found)


KIND = TaskKind(
    name="language-model",
    summary="How likely a text is: perplexity, and its ratio to the original's",
    make=lambda _arguments: LanguageModel(),
    guessed=True,
)


def _checked(nll: NDArray[Any], whose: str) -> NDArray[np.float64]:
    if nll.ndim != 2 or nll.size == 0:
        raise ValueError(f"language-model scores outputs (windows, tokens - 1), got shape {nll.shape}")
    if not np.isfinite(nll).all():
        raise ValueError(f"{whose} hold values that are not numbers (NaN or infinite)")
    # A likelihood of 1 may come out of float16 sums as a little more.
    if nll.min() < -0.01:
        raise ValueError(f"{whose} are as low as {nll.min():.4g}: a negative log-likelihood is 0 or more")
    return nll.astype(np.float64)


def _quality(metric: str, against: str, nats: NDArray[np.float64]) -> variant_pb2.Quality:
    mean = float(nats.mean())
    if mean > _MAX_NATS:
        raise ValueError(f"a mean of {mean:.4g} nats a token: this model gives the text no chance at all")
    found = variant_pb2.Quality(
        metric=metric,
        value=math.exp(mean),
        samples=nats.size,
        against=against,
        lower_is_better=True,
    )
    interval = mean_interval(nats.mean(axis=1))
    if interval is not None and interval[1] <= _MAX_NATS:
        found.ci95_low, found.ci95_high = (math.exp(each) for each in interval)
    return found
