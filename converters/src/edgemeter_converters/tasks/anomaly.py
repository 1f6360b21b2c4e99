"""Whether something is out of the ordinary: autoencoders that fail to rebuild what they have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.tasks import classes, ranking
from edgemeter_converters.tasks.task import LABELS, ORIGINAL, TaskKind, Truth
from edgemeter_protos.v1 import variant_pb2


class Anomaly:
    """A model whose one output is its one input, rebuilt: of the same shape and on the same scale. A sample's
    score is the mean squared error between the two; the higher, the more anomalous. Labels are 0 for what is
    normal, 1 for what is not.

    MLPerf Tiny's machine sounds are scored so a window; a clip's score there is the mean over its windows.
    """

    text = "anomaly"
    sample_noun = "inference"
    needs_original = True
    needs_inputs = True

    def fits(self, signature: variant_pb2.Signature) -> bool:
        if len(signature.inputs) != 1 or len(signature.outputs) != 1:
            return False
        given, rebuilt = list(signature.inputs[0].shape[1:]), list(signature.outputs[0].shape[1:])
        return len(given) > 0 and given == rebuilt

    def misfit(self, labels: variant_pb2.TensorSpec) -> str:
        return classes.labels_misfit(
            labels, "anomaly wants one whole number: 0 for normal, 1 for anomalous", kinds="iub"
        )

    def metrics(self, outputs: Sequence[NDArray[Any]], truth: Truth) -> tuple[variant_pb2.Quality, ...]:
        """Against labels `auc`, the area under the ROC curve, with DeLong's interval; against the original
        `score_rank_correlation`, Spearman's between its samples' scores and these, Bonett and Wright's."""
        scores = _scores(outputs, truth.inputs, "the outputs")
        found = []
        if truth.labels is not None:
            positive = _positive(truth.labels, len(scores))
            area = variant_pb2.Quality(
                metric="auc", value=ranking.auc(scores, positive), samples=len(scores), against=LABELS
            )
            found.append(_with_interval(area, ranking.auc_interval(scores, positive)))
        if truth.original is not None:
            of_original = _scores(truth.original, truth.inputs, "the original's outputs")
            found.append(_agreement(scores, of_original))
        return tuple(found)


KIND = TaskKind(
    name="anomaly",
    summary="Whether something is out of the ordinary: AUC, agreement with the original",
    make=lambda _arguments: Anomaly(),
)


def _scores(
    outputs: Sequence[NDArray[Any]], inputs: Sequence[NDArray[Any]], whose: str
) -> NDArray[np.float64]:
    """(samples,): mean squared errors."""
    if len(outputs) != 1 or len(inputs) != 1:
        raise ValueError(
            f"anomaly compares one output with one input, got {len(outputs)} and {len(inputs)} ({whose})"
        )
    rebuilt, given = outputs[0], inputs[0]
    if rebuilt.shape != given.shape or rebuilt.size == 0:
        raise ValueError(
            f"{whose} have shape {rebuilt.shape}, the inputs {given.shape}: anomaly wants the same"
        )
    if not np.isfinite(rebuilt).all():
        raise ValueError(f"{whose} hold values that are not numbers (NaN or infinite)")
    errors = np.square(rebuilt.astype(np.float64) - given)
    return np.asarray(errors.reshape(len(errors), -1).mean(axis=1))


def _positive(labels: NDArray[Any], samples: int) -> NDArray[np.bool_]:
    if labels.shape != (samples,):
        raise ValueError(f"{samples} outputs, but labels of shape {labels.shape}")
    kinds = np.unique(labels)
    if not np.isin(kinds, (0, 1)).all():
        raise ValueError(
            f"labels from {kinds.min()} to {kinds.max()}: anomaly wants 0 for normal, 1 for anomalous"
        )
    if len(kinds) == 1:
        raise ValueError(
            f"all labels are {int(kinds[0])}: AUC needs normal samples (0) and anomalous ones (1)"
        )
    return np.asarray(labels == 1)


def _agreement(scores: NDArray[np.float64], of_original: NDArray[np.float64]) -> variant_pb2.Quality:
    correlation = ranking.rank_correlation(scores, of_original)
    made = variant_pb2.Quality(metric="score_rank_correlation", against=ORIGINAL)
    if correlation is None:
        made.unscored_reason = "all samples have the same score: there is no order to compare"
        return made
    made.value, made.samples = correlation, len(scores)
    return _with_interval(made, ranking.rank_correlation_interval(correlation, len(scores)))


def _with_interval(made: variant_pb2.Quality, interval: tuple[float, float] | None) -> variant_pb2.Quality:
    if interval is not None:
        made.ci95_low, made.ci95_high = interval
    return made
