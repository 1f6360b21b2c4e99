"""llama.cpp's Q4_K_M: blocks of 256 weights, most of 4 bits, the more sensitive matrices of 6."""

from __future__ import annotations

from edgemeter_converters.steps.step import Precision, Step

STEP = Step(
    name="q4_k_m",
    summary="Language models, llama.cpp's mixture of 4 and 6 bits: the usual choice for text",
    precision=Precision.Q4_K_M,
)
