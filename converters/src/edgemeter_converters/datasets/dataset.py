"""A dataset as a value: its splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

Inputs: TypeAlias = tuple[NDArray[Any], ...]
"""One array for each of a model's inputs, batch first, all of one length."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Inputs and, where they are known, their labels: (samples,), int64."""

    inputs: Inputs
    labels: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.inputs[0])


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Splits of one kind of sample. No evaluation sample is a training or a calibration sample too.

    Attributes:
        calibration: those that came with the data, or at most 200 picked from training.
        calibration_given: that they came with the data.
        classes: one more than the highest label, or as many as there are names; 0 where there are no labels.
        class_names: by label; empty where the data names none.
    """

    training: Samples
    calibration: Inputs
    evaluation: Samples
    classes: int
    calibration_given: bool = False
    class_names: tuple[str, ...] = ()
