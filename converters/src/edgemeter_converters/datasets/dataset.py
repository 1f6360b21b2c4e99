"""A dataset as a value: its splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

Inputs: TypeAlias = tuple[NDArray[Any], ...]
"""One array for each of a model's inputs, batch first, all of one length."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Inputs and, where they are known, their labels.

    Labels are (samples,) int64 where each is the number of a class; for other tasks any array, batch first:
    boxes, pictures, tokens.
    """

    inputs: Inputs
    labels: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.inputs[0])


def are_classes(labels: NDArray[Any]) -> bool:
    """Whole numbers, one a sample; what else there is says what it is only to its task."""
    return labels.ndim == 1 and labels.dtype.kind in "iu"


def are_one_class(labels: NDArray[Any] | None) -> bool:
    """Whether these, two or more, are all the same class."""
    if labels is None or len(labels) < 2 or not are_classes(labels):
        return False
    return bool(labels.min() == labels.max())


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Splits of one kind of sample. No evaluation sample is a training or a calibration sample too.

    Attributes:
        calibration: those that came with the data, or at most 200 picked from training.
        calibration_given: that they came with the data.
        classes: one more than the highest label, or as many as there are names; 0 where labels are none.
        class_names: by label; empty where the data names none.
        vocabulary: digest of the vocabulary whose token ids the inputs are; empty for other inputs.
    """

    training: Samples
    calibration: Inputs
    evaluation: Samples
    classes: int
    calibration_given: bool = False
    class_names: tuple[str, ...] = ()
    vocabulary: str = ""
