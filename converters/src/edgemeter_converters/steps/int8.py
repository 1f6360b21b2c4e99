"""Full integer quantization (Jacob et al., CVPR 2018, arXiv:1712.05877), usually per channel."""

from __future__ import annotations

from edgemeter_converters.steps.encoding_arguments import (
    AUTO_KEEP,
    IO,
    KEEP,
    METHOD,
    OPERATORS,
    PER_TENSOR,
    SAMPLES,
)
from edgemeter_converters.steps.step import Precision, Step

STEP = Step(
    name="int8",
    summary="8-bit integers throughout: a quarter of the size, usually the fastest",
    precision=Precision.INT8,
    parameters=(
        PER_TENSOR,
        IO,
        METHOD,
        SAMPLES,
        KEEP,
        AUTO_KEEP,
        OPERATORS,
    ),
    needs_calibration=True,
)
