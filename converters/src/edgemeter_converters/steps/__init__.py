"""The steps that recipes are made of, one file each. A new step is a file here and a line in `STEPS`."""

from __future__ import annotations

from types import MappingProxyType

from edgemeter_converters.steps import dynamic, float16, float32, int8, int16x8
from edgemeter_converters.steps.step import Precision, Step

__all__ = ["STEPS", "Precision", "Step"]

STEPS = MappingProxyType(
    {step.name: step for step in (float32.STEP, float16.STEP, dynamic.STEP, int8.STEP, int16x8.STEP)}
)
