"""Structured pruning: whole channels go, with all that depends on them.

Importance is the L2 norm of a group's weights (Li et al., arXiv:1608.08710; Fang et al., DepGraph,
arXiv:2301.12900).
"""

from __future__ import annotations

from edgemeter_converters.steps.parameter import Kind, Parameter
from edgemeter_converters.steps.step import Step
from edgemeter_converters.steps.training_arguments import fine_tuning

STEP = Step(
    name="prune-channels",
    summary="Whole channels are removed, fine-tuned: smaller and faster everywhere",
    precision=None,
    parameters=(
        Parameter(
            name="ratio",
            kind=Kind.SHARE,
            positional=True,
            help="share of each layer's channels to remove",
            default=0.3,
        ),
        *fine_tuning(epochs=5, learning_rate=1e-3),
    ),
    frameworks=frozenset({"keras", "torch"}),
    needs_training=True,
    example="prune-channels(0.3)",
)
