"""The model as it is, in the format's own float32: the usual baseline."""

from __future__ import annotations

from edgemeter_converters.steps.step import Precision, Step

STEP = Step(
    name="float32",
    summary="32-bit floating point: nothing is given up; the usual baseline",
    precision=Precision.FLOAT32,
)
