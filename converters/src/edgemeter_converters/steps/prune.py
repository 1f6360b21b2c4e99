"""Magnitude pruning: the smallest weights become zero and stay so.

The gradual schedule is Zhu and Gupta's (arXiv:1710.01878, equation 1); N:M sparsity as in Mishra et al.
(arXiv:2104.08378).
"""

from __future__ import annotations

from edgemeter_converters.steps.parameter import Kind, Parameter
from edgemeter_converters.steps.step import Step
from edgemeter_converters.steps.training_arguments import fine_tuning

STEP = Step(
    name="prune",
    summary="The smallest weights become zero, fine-tuned: smaller to send, no faster on usual kernels",
    precision=None,
    parameters=(
        Parameter(
            name="sparsity",
            kind=Kind.SHARE_OR_RATIO,
            positional=True,
            help="share of the weights that become zero, or N:M for N of each M",
            default=0.5,
        ),
        *fine_tuning(epochs=3, learning_rate=1e-3),
    ),
    frameworks=frozenset({"keras", "torch", "llama"}),
    needs_training=True,
    example="prune(0.5)",
)
