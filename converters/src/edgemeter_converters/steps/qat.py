"""Quantization-aware training (Jacob et al., CVPR 2018, arXiv:1712.05877, section 3), then int8."""

from __future__ import annotations

from edgemeter_converters.steps.encoding_arguments import IO, KEEP, METHOD, OPERATORS, PER_TENSOR, SAMPLES
from edgemeter_converters.steps.step import Precision, Step
from edgemeter_converters.steps.training_arguments import fine_tuning

STEP = Step(
    name="qat",
    summary="Trained on under simulated 8-bit rounding, then as int8: quality that int8 alone loses",
    precision=Precision.INT8,
    parameters=(
        PER_TENSOR,
        IO,
        METHOD,
        SAMPLES,
        KEEP,
        OPERATORS,
        *fine_tuning(epochs=2, learning_rate=1e-4),
    ),
    frameworks=frozenset({"keras", "torch"}),
    needs_training=True,
    needs_calibration=True,
    example="qat",
)
