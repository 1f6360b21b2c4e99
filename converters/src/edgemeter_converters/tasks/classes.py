"""What tasks share whose labels are one class of a sample's, a whole number. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_protos.v1 import variant_pb2


def scores_fit(signature: variant_pb2.Signature) -> bool:
    """Whether a model's one output is (batch, classes), of two classes or more."""
    if len(signature.outputs) != 1:
        return False
    shape = signature.outputs[0].shape
    return len(shape) == 2 and shape[1] >= 2


def labels_misfit(labels: variant_pb2.TensorSpec, wants: str, kinds: str = "iu") -> str:
    """Why labels like these (of one sample) are no classes, as `Task.misfit` says it; empty where they are.

    Args:
        wants: the end of the clause: "classification wants one whole number from 0".
        kinds: numpy's letters of the element types that will do.
    """
    if len(labels.shape) == 0 and np.dtype(labels.dtype).kind in kinds:
        return ""
    may_be_one_hot = len(labels.shape) == 1 and labels.shape[0] > 1
    hint = "; for one-hot labels save labels.argmax(axis=1)" if may_be_one_hot else ""
    return f"the labels are {labels.dtype} of shape {tuple(labels.shape)} a sample, {wants}{hint}"


def check_labels(labels: NDArray[Any], scores: NDArray[Any], noun: str = "classes") -> None:
    """Nothing, where there is a label for each row of (samples, classes), and a score for each label.

    Raises:
        ValueError: one line.
    """
    if labels.shape != (len(scores),) or len(labels) == 0:
        raise ValueError(f"{len(scores)} outputs, but labels of shape {labels.shape}")
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError(
            f"labels from {labels.min()} to {labels.max()}, but outputs for {scores.shape[1]} {noun}"
        )
