"""llama.cpp's Q4_0: blocks of 32 int4 weights with a scale each."""

from __future__ import annotations

from edgemeter_converters.steps.step import Precision, Step

STEP = Step(
    name="q4_0",
    summary="Language models, llama.cpp's plain 4-bit blocks: smallest, fast on Arm, small models lose much",
    precision=Precision.Q4_0,
)
