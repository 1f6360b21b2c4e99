"""4-bit weights by GPTQ (Frantar et al., arXiv:2210.17323)."""

from __future__ import annotations

from edgemeter_converters.steps.encoding_arguments import SAMPLES
from edgemeter_converters.steps.step import Precision, Step

STEP = Step(
    name="gptq",
    summary="Language models, 4-bit weights fitted to the data's text; a comparison on the coordinator only",
    precision=Precision.GPTQ,
    parameters=(SAMPLES,),
    needs_calibration=True,
)
