"""What fine-tuning of a torch module minimizes: the labels' cross-entropy or the distance to the original."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from edgemeter_converters import tasks
from edgemeter_converters.datasets.dataset import Samples
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import torch_module
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.training import spread
from edgemeter_converters.training.output_kind import OutputKind, output_kind

LOOKED_AT_SAMPLES = 64
"""By which logits are told from probabilities."""

SMALLEST_PROBABILITY = 1e-7
"""Of a class, before its logarithm: float32 resolves no less next to 1."""

_OF_PICTURES = 4
"""Dimensions."""

LABELS_SHARE = 0.5
"""Of the loss, where both labels and the original teach."""


class Objective:
    """A loss for batches of outputs.

    With labels that are classes: their cross-entropy. Without: Kullback and Leibler's divergence from what
    the original answers, or for other outputs the mean squared error, relative to the variance of the
    original's in each channel, summed over outputs. With a temperature T, T² · KL of both at that
    temperature joins the labels' cross-entropy (Hinton et al., arXiv:1503.02531).
    """

    def __init__(
        self, original: LoadedModel, samples: Samples, task: str, temperature: float | None = None
    ) -> None:
        self._chooses = tasks.scores_classes(task)
        self._has_labels = self._chooses and samples.labels is not None
        self._temperature = temperature
        self._one_by_one = takes_one_sample(original)
        self._network = original.torch
        self._kind = self._kind_of_scores(samples) if self._chooses else OutputKind.LOGITS

    def loss(self, outputs: Sequence[Any], inputs: Sequence[Any], labels: Any) -> Any:
        """A scalar that can be differentiated.

        Args:
            outputs: the student's, batch first.
            inputs: that they came from.
            labels: (batch,), int64; None where there are none.

        Raises:
            ConversionError: no output is made of floating-point numbers.
        """
        if self._has_labels and self._temperature is None:
            return self._of_labels(outputs[0], labels)
        with torch.no_grad():
            taught = call(self._network, inputs, self._one_by_one)
        if not self._chooses:
            return _relative_squared_error(outputs, taught)
        divergence = self._divergence(outputs[0], taught[0], self._temperature or 1.0)
        if not self._has_labels:
            return divergence
        return LABELS_SHARE * self._of_labels(outputs[0], labels) + (1 - LABELS_SHARE) * divergence

    def _of_labels(self, scores: Any, labels: Any) -> Any:
        logits = self._logits(scores)
        if self._kind is OutputKind.INDEPENDENT:
            wanted = functional.one_hot(labels, scores.shape[1]).to(logits.dtype)
            return functional.binary_cross_entropy_with_logits(logits, wanted)
        return functional.cross_entropy(logits, labels)

    def _divergence(self, scores: Any, taught: Any, temperature: float) -> Any:
        mine, wanted = self._logits(scores) / temperature, self._logits(taught) / temperature
        if self._kind is OutputKind.INDEPENDENT:
            # Bernoulli's cross-entropy less the teacher's own entropy.
            target = wanted.sigmoid()
            cross = functional.binary_cross_entropy_with_logits
            return temperature**2 * (cross(mine, target) - cross(wanted, target))
        return temperature**2 * functional.kl_div(
            functional.log_softmax(mine, dim=1),
            functional.log_softmax(wanted, dim=1),
            log_target=True,
            reduction="batchmean",
        )

    def _logits(self, scores: Any) -> Any:
        if self._kind is OutputKind.LOGITS:
            return scores
        logarithm = scores.clamp_min(SMALLEST_PROBABILITY).log()
        if self._kind is OutputKind.PROBABILITIES:
            return logarithm
        return logarithm - (1 - scores).clamp_min(SMALLEST_PROBABILITY).log()

    def _kind_of_scores(self, samples: Samples) -> OutputKind:
        inputs = tensors(samples, np.arange(min(LOOKED_AT_SAMPLES, len(samples))))
        with torch.no_grad():
            return output_kind(call(self._network, inputs, self._one_by_one)[0].double().numpy())


def takes_one_sample(model: LoadedModel) -> bool:
    """Whether the module takes a batch of 1 and no other."""
    return bool(model.signature.inputs[0].shape[0] == 1)


def call(module: Any, inputs: Sequence[Any], one_by_one: bool = False) -> list[Any]:
    """The module's outputs in the order of its signature.

    Args:
        one_by_one: for a module that takes one sample only.
    """
    if not one_by_one:
        return torch_module.flat(module(*inputs))
    rows = [
        torch_module.flat(module(*(each[at : at + 1] for each in inputs))) for at in range(len(inputs[0]))
    ]
    return [torch.cat(column) for column in zip(*rows, strict=True)]


def tensors(samples: Samples, indices: Any) -> tuple[Any, ...]:
    """The inputs at those indices."""
    return tuple(torch.from_numpy(np.ascontiguousarray(each[indices])) for each in samples.inputs)


def _relative_squared_error(outputs: Sequence[Any], taught: Sequence[Any]) -> Any:
    pairs = [(one, other) for one, other in zip(outputs, taught, strict=True) if one.is_floating_point()]
    if not pairs:
        raise ConversionError("fine-tuning needs an output of floating-point numbers, and the model has none")
    return sum(((one - other).square() / _variances(other)).mean() for one, other in pairs)


def _variances(taught: Any) -> Any:
    # Pictures and maps have their channels before their rows, all else has them last.
    axis = 1 if taught.ndim == _OF_PICTURES else -1
    return torch.from_numpy(spread.variances(taught.double().numpy(), axis)).to(taught.dtype)
