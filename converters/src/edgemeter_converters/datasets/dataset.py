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
    """Splits of one kind of sample. No calibration sample is an evaluation sample."""

    training: Samples
    calibration: Inputs
    evaluation: Samples
    classes: int
    """One more than the highest label; 0 where there are none."""
