"""int4 weights that are made float again when they are used."""

from __future__ import annotations

from edgemeter_converters.steps.encoding_arguments import KEEP
from edgemeter_converters.steps.step import Precision, Step

STEP = Step(
    name="weight-only-int4",
    summary="4-bit weights, float32 arithmetic: an eighth of the size; small nets lose much",
    precision=Precision.WEIGHT_ONLY_INT4,
    parameters=(KEEP,),
)
