"""int8 weights, activations quantized from their range in each inference (no calibration)."""

from __future__ import annotations

from edgemeter_converters.steps.encoding_arguments import KEEP, PER_TENSOR
from edgemeter_converters.steps.step import Precision, Step

STEP = Step(
    name="dynamic",
    summary="8-bit weights, activations quantized at run time: a quarter of the size, no calibration data",
    precision=Precision.DYNAMIC_INT8,
    parameters=(
        KEEP,
        PER_TENSOR,
    ),
)
