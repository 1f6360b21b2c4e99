"""Weight sharing: k-means over each layer's weights (Han et al., Deep Compression, arXiv:1510.00149)."""

from __future__ import annotations

from edgemeter_converters.steps.parameter import Kind, Parameter
from edgemeter_converters.steps.step import Step
from edgemeter_converters.steps.training_arguments import fine_tuning

STEP = Step(
    name="cluster",
    summary="Each layer keeps so many different weights, fine-tuned: smaller when compressed",
    precision=None,
    parameters=(
        Parameter(
            name="clusters",
            kind=Kind.COUNT,
            positional=True,
            low=2,
            high=256,
            help="different weights in a layer",
            default=16,
        ),
        *fine_tuning(epochs=2, learning_rate=1e-4),
    ),
    frameworks=frozenset({"keras", "torch"}),
    needs_training=True,
    example="cluster(16)",
)
