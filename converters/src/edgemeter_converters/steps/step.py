"""What a step is."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Precision(enum.Enum):
    """The numbers that a model is encoded with, as weights and as activations."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    """float16 weights, float32 arithmetic unless the runtime has better."""
    DYNAMIC_INT8 = "dynamic"
    """int8 weights; activations are quantized while the model runs."""
    INT8 = "int8"
    """int8 weights, a scale for each channel; int8 activations, inputs and outputs."""
    INT16X8 = "int16x8"
    """int8 weights; int16 activations, inputs and outputs."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a recipe, as the registry holds it.

    Attributes:
        name: as recipes write it: lower case, digits, hyphens.
        summary: one sentence for `edgemeter recipe ls`.
        natural_format: the format of a recipe that ends in this step and names none.
        precision: what the format is asked to encode with; None for a step that only changes the model,
            which may be followed by others.
        needs_calibration: whether it looks at calibration samples.
    """

    name: str
    summary: str
    natural_format: str
    precision: Precision | None
    needs_calibration: bool = False
