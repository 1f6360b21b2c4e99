"""4-bit weights in blocks of 32, as onnxruntime-genai runs them."""

from __future__ import annotations

from edgemeter_converters.steps.step import Precision, Step

STEP = Step(
    name="int4",
    summary="Language models for onnxruntime-genai: 4-bit weights in blocks of 32",
    precision=Precision.INT4,
)
