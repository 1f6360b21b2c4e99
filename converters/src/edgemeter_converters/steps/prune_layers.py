"""Depth pruning of language models: whole decoder layers go (Men et al., ShortGPT, arXiv:2403.03853)."""

from __future__ import annotations

from edgemeter_converters.steps.parameter import Kind, Parameter
from edgemeter_converters.steps.step import Step

STEP = Step(
    name="prune-layers",
    summary="Whole layers of a language model are removed: smaller and faster everywhere; lora heals",
    precision=None,
    parameters=(
        Parameter(
            name="layers",
            kind=Kind.COUNT,
            positional=True,
            low=1,
            high=1000,
            help="how many to remove: those that change least what passes through them",
            default=2,
        ),
    ),
    frameworks=frozenset({"llama"}),
    needs_training=True,
    example="prune-layers(2)",
)
