"""llama.cpp's Q8_0: blocks of 32 int8 weights with a scale each."""

from __future__ import annotations

from edgemeter_converters.steps.step import Precision, Step

STEP = Step(
    name="q8_0",
    summary="Language models, llama.cpp's 8-bit blocks: half of float16's size, next to no loss",
    precision=Precision.Q8_0,
)
