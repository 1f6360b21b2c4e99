"""Full integer quantization (Jacob et al., CVPR 2018, arXiv:1712.05877), per channel."""

from __future__ import annotations

from edgemeter_converters.steps.step import Precision, Step

STEP = Step(
    name="int8",
    summary="8-bit integers throughout, inputs and outputs too: a quarter of the size, usually the fastest",
    natural_format="tflite",
    precision=Precision.INT8,
    needs_calibration=True,
)
