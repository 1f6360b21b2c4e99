"""int8 weights that are made float again when they are used."""

from __future__ import annotations

from edgemeter_converters.steps.encoding_arguments import KEEP
from edgemeter_converters.steps.step import Precision, Step

STEP = Step(
    name="weight-only-int8",
    summary="8-bit weights, float32 arithmetic: a quarter of the size, next to no loss, no calibration data",
    precision=Precision.WEIGHT_ONLY_INT8,
    parameters=(KEEP,),
)
