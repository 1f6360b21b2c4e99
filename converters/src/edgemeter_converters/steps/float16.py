"""Weights rounded to IEEE 754 half precision."""

from __future__ import annotations

from edgemeter_converters.steps.step import Precision, Step

STEP = Step(
    name="float16",
    summary="Weights as 16-bit floating point: half the size, next to no loss",
    precision=Precision.FLOAT16,
)
