"""8-bit weights under 16-bit activations."""

from __future__ import annotations

from edgemeter_converters.steps.encoding_arguments import IO, KEEP, METHOD, SAMPLES
from edgemeter_converters.steps.step import Precision, Step

STEP = Step(
    name="int16x8",
    summary="8-bit weights, 16-bit activations: near float32's quality, slow where kernels are not optimized",
    precision=Precision.INT16X8,
    parameters=(
        IO,
        METHOD,
        SAMPLES,
        KEEP,
    ),
    needs_calibration=True,
)
