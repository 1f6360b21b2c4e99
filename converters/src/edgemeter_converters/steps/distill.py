"""Distillation: a thinner student learns the original's outputs (Hinton et al., arXiv:1503.02531)."""

from __future__ import annotations

from edgemeter_converters.steps.parameter import Kind, Parameter
from edgemeter_converters.steps.step import Step
from edgemeter_converters.steps.training_arguments import fine_tuning

STEP = Step(
    name="distill",
    summary="A thinner copy is trained on what the original answers",
    precision=None,
    parameters=(
        Parameter(
            name="width",
            kind=Kind.SHARE,
            positional=True,
            help="share of each hidden layer's channels that the student has",
            default=0.5,
        ),
        *fine_tuning(epochs=15, learning_rate=1e-3),
    ),
    frameworks=frozenset({"keras", "torch"}),
    needs_training=True,
    example="distill(width=0.5)",
)
