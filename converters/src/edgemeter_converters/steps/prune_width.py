"""Width pruning of language models: channels of the feed-forward parts go.

Importance is weights times values (Sun et al., Wanda, arXiv:2306.11695); what stays is fitted anew by least
squares (He et al., arXiv:1707.06168).
"""

from __future__ import annotations

from edgemeter_converters.steps.parameter import Kind, Parameter
from edgemeter_converters.steps.step import Step

STEP = Step(
    name="prune-width",
    summary="A language model's feed-forward parts lose channels: smaller and faster everywhere; lora heals",
    precision=None,
    parameters=(
        Parameter(
            name="ratio",
            kind=Kind.SHARE,
            positional=True,
            help="share of the channels to remove, to the nearest multiple that quantizers take",
            default=0.3,
        ),
    ),
    frameworks=frozenset({"llama"}),
    needs_training=True,
    example="prune-width(0.3)",
)
