"""llama.cpp's IQ4_NL: blocks of 32 weights of 4 bits whose steps are not equally far apart."""

from __future__ import annotations

from edgemeter_converters.steps.step import Precision, Step

STEP = Step(
    name="iq4_nl",
    summary="Language models, llama.cpp's 4-bit blocks of uneven steps: as small as q4_0, less loss",
    precision=Precision.IQ4_NL,
)
