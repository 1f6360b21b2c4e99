"""int4 weights under activations that are quantized to int8 while the model runs."""

from __future__ import annotations

from edgemeter_converters.steps.encoding_arguments import KEEP
from edgemeter_converters.steps.step import Precision, Step

STEP = Step(
    name="w4a8",
    summary="4-bit weights, activations quantized to 8 bits at run time: an eighth of the size",
    precision=Precision.W4A8,
    parameters=(KEEP,),
)
