"""Low-rank adaptation of language models (Hu et al., arXiv:2106.09685), merged into the weights."""

from __future__ import annotations

from edgemeter_converters.steps.parameter import Kind, Parameter
from edgemeter_converters.steps.step import Step

STEP = Step(
    name="lora",
    summary="A language model learns the data's text by a low-rank adapter, which is merged and kept beside",
    precision=None,
    parameters=(
        Parameter(
            name="r",
            kind=Kind.COUNT,
            positional=True,
            low=1,
            high=1024,
            help="rank of the adapter's matrices",
            default=8,
        ),
        Parameter(
            name="alpha",
            kind=Kind.COUNT,
            low=1,
            high=1_000_000,
            help="over r: the adapter's weight",
            default=16,
        ),
        Parameter(
            name="targets",
            kind=Kind.NAMES,
            help="layers to adapt, as in targets=q_proj|v_proj; every dense one where left out",
            default=(),
        ),
        Parameter(
            name="epochs",
            kind=Kind.COUNT,
            low=1,
            high=1000,
            help="rounds over the training windows",
            default=1,
        ),
        Parameter(name="steps", kind=Kind.COUNT, low=1, high=1_000_000, help="batches, in place of epochs"),
        Parameter(
            name="lr", kind=Kind.NUMBER, low=1e-9, high=10, help="learning rate at its highest", default=1e-3
        ),
        Parameter(name="batch", kind=Kind.COUNT, low=1, high=4096, help="windows a batch", default=4),
        Parameter(
            name="seed",
            kind=Kind.COUNT,
            high=2**31 - 1,
            help="of all that is random; the build's where left out",
        ),
    ),
    frameworks=frozenset({"llama"}),
    needs_training=True,
    example="lora(8)",
)
