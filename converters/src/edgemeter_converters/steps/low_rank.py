"""Low-rank factors: of dense layers by SVD, of convolutions by Tucker-2 (Kim et al., arXiv:1511.06530).

A language model has no place for factors: its dense layers become their products, which are as large.
"""

from __future__ import annotations

from edgemeter_converters.steps.parameter import Kind, Parameter
from edgemeter_converters.steps.step import Step
from edgemeter_converters.steps.training_arguments import fine_tuning

STEP = Step(
    name="low-rank",
    summary="Dense layers and convolutions become products of thinner ones, fine-tuned",
    precision=None,
    parameters=(
        Parameter(
            name="budget",
            kind=Kind.SHARE,
            positional=True,
            help="share of a layer's parameters that its factors may have",
            default=0.5,
        ),
        Parameter(
            name="energy",
            kind=Kind.SHARE,
            help="in place of a budget: share of the squared singular values that a layer keeps",
        ),
        Parameter(
            name="r", kind=Kind.COUNT, low=1, high=65536, help="in place of a budget: the rank of every layer"
        ),
        *fine_tuning(epochs=3, learning_rate=1e-3),
    ),
    frameworks=frozenset({"keras", "torch", "llama"}),
    needs_training=True,
    example="low-rank(0.5)",
)
