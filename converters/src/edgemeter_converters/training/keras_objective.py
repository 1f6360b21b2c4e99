"""What a Keras network is trained for: the labels, or what the original answers. For workers only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters import tasks
from edgemeter_converters.models.keras import predict
from edgemeter_converters.steps.transform import Context
from edgemeter_converters.training import spread
from edgemeter_converters.training.output_kind import OutputKind, output_kind

TEMPERATURE = 3.0
"""Of the softmax whose outputs a student imitates (Hinton et al., arXiv:1503.02531: 2.5 to 4 for small)."""

IMITATED_SHARE = 0.7
"""Of a student's loss: what it pays for not answering as its teacher; the rest is for missing the labels."""

MAX_TARGET_BYTES = 1 << 30
"""Of a teacher's outputs that are kept; more are computed again for each batch."""

_TINY = 1e-7
"""The least probability whose logarithm is taken, as in Keras's own losses."""

_KIND_SAMPLES = 64
_TEACHER_BATCH = 128


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What a network is trained for.

    Attributes:
        loss: of its outputs (tensors) and a batch's targets.
        targets: of the batch of those samples.
        data: what the targets are made of.
    """

    loss: Callable[[list[Any], Any], Any]
    targets: Callable[[NDArray[np.int64]], list[NDArray[Any]]]
    data: tuple[NDArray[Any], ...]


def objective(context: Context, imitate: bool) -> Objective:
    samples = context.training
    assert samples is not None
    chooses = tasks.scores_classes(context.task)
    labelled = chooses and samples.labels is not None
    teacher = Teacher(context) if imitate or not labelled else None
    labels = samples.labels if labelled else None
    first = predict(context.original.network, [each[:_KIND_SAMPLES] for each in samples.inputs])
    kind = output_kind(first[0]) if chooses else OutputKind.LOGITS
    variances = [spread.variances(each, channel_axis=-1).astype(np.float32) for each in first]

    def loss(outputs: list[Any], targets: list[Any]) -> Any:
        if not chooses:
            return _squared_error(outputs, targets, variances)
        if labels is None:
            return _divergence(outputs[0], targets[0], kind, temperature=1.0)
        missed = _cross_entropy(outputs[0], targets[0], kind)
        if teacher is None:
            return missed
        imitated = _divergence(outputs[0], targets[1], kind, TEMPERATURE)
        return IMITATED_SHARE * imitated + (1 - IMITATED_SHARE) * missed

    def batch_targets(batch: NDArray[np.int64]) -> list[NDArray[Any]]:
        made: list[NDArray[Any]] = [] if labels is None else [labels[batch]]
        return made if teacher is None else [*made, *teacher.outputs(batch)]

    return Objective(loss=loss, targets=batch_targets, data=() if labels is None else (labels,))


class Teacher:
    """The original's outputs for training samples."""

    def __init__(self, context: Context) -> None:
        assert context.training is not None
        self._network, self._inputs = context.original.network, context.training.inputs
        count = len(context.training)
        one_bytes = sum(each.nbytes // 2 for each in predict(self._network, [x[:1] for x in self._inputs]))
        self._kept: list[NDArray[Any]] | None = None
        if count * one_bytes <= MAX_TARGET_BYTES:
            starts = range(0, count, _TEACHER_BATCH)
            parts = [self._compute(np.arange(at, min(at + _TEACHER_BATCH, count))) for at in starts]
            self._kept = [np.concatenate(each) for each in zip(*parts, strict=True)]

    def outputs(self, batch: NDArray[np.int64]) -> list[NDArray[Any]]:
        return self._compute(batch) if self._kept is None else [each[batch] for each in self._kept]

    def _compute(self, batch: NDArray[np.int64]) -> list[NDArray[Any]]:
        outputs = predict(self._network, [each[batch] for each in self._inputs])
        return [each.astype(np.float32) for each in outputs]


def _cross_entropy(output: Any, labels: Any, kind: OutputKind) -> Any:
    from keras import losses, ops

    wanted = ops.one_hot(labels, output.shape[-1], dtype=output.dtype)
    if kind is OutputKind.INDEPENDENT:
        return ops.mean(losses.binary_crossentropy(wanted, output))
    scores = ops.log_softmax(_logits(output, kind))
    return -ops.mean(ops.sum(wanted * scores, axis=-1))


def _divergence(output: Any, wanted: Any, kind: OutputKind, temperature: float) -> Any:
    """Kullback-Leibler divergence from the teacher's probabilities, times the temperature's square, which
    makes its gradients as large as those of the labels (Hinton et al., section 2)."""
    from keras import ops

    if kind is OutputKind.INDEPENDENT:
        given, wanted = (ops.clip(each, _TINY, 1 - _TINY) for each in (output, wanted))
        log_odds = ops.log(wanted) - ops.log(given)
        others = ops.log(1 - wanted) - ops.log(1 - given)
        return ops.mean(ops.sum(wanted * log_odds + (1 - wanted) * others, axis=-1))
    given = ops.log_softmax(_logits(output, kind) / temperature)
    aimed = ops.log_softmax(_logits(wanted, kind) / temperature)
    return temperature**2 * ops.mean(ops.sum(ops.exp(aimed) * (aimed - given), axis=-1))


def _squared_error(outputs: Sequence[Any], targets: Sequence[Any], variances: Sequence[NDArray[Any]]) -> Any:
    from keras import ops

    errors = [
        ops.mean(ops.square(ops.cast(output, "float32") - target) / variance)
        for output, target, variance in zip(outputs, targets, variances, strict=True)
    ]
    return sum(errors[1:], errors[0])


def _logits(output: Any, kind: OutputKind) -> Any:
    """Up to a constant for each sample, which a softmax does not see."""
    from keras import ops

    if kind is OutputKind.LOGITS:
        return output
    # Keras's softmax leaves what it was given on its result: exact where the probability is too small to be.
    kept = getattr(output, "_keras_logits", None)
    return ops.log(ops.clip(output, _TINY, 1.0)) if kept is None else kept
