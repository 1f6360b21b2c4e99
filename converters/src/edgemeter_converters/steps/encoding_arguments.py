"""The arguments that several encoding steps share."""

from __future__ import annotations

from edgemeter_converters.steps.parameter import Kind, Parameter

PER_TENSOR = Parameter(
    name="per_tensor",
    kind=Kind.FLAG,
    help="one scale for a whole weight tensor, not one for each channel",
    default=False,
)
IO = Parameter(
    name="io",
    kind=Kind.CHOICE,
    choices=("int8", "float"),
    help="what the file takes and gives; the format's usual where left out",
    default="",
)
METHOD = Parameter(
    name="method",
    kind=Kind.CHOICE,
    choices=("min-max", "moving-average", "percentile", "entropy"),
    help="how calibration finds the range of activations; the tool's usual where left out",
    default="",
)
SAMPLES = Parameter(
    name="samples",
    kind=Kind.COUNT,
    low=1,
    high=10_000,
    help="how many calibration samples; 200 where left out",
)
KEEP = Parameter(
    name="keep",
    kind=Kind.NAMES,
    help="layers to leave in float: names or patterns, as in keep=head*|conv1",
    default=(),
)
AUTO_KEEP = Parameter(
    name="auto_keep",
    kind=Kind.SHARE,
    help="leaves the most sensitive layers in float until quality drops by no more than this",
)
OPERATORS = Parameter(
    name="operators",
    kind=Kind.CHOICE,
    choices=("qdq", "qoperator"),
    help="how ONNX writes integers down",
    default="qdq",
)

ENCODING_ARGUMENTS = frozenset(
    each.name for each in (PER_TENSOR, IO, METHOD, SAMPLES, KEEP, AUTO_KEEP, OPERATORS)
)
"""None of these changes what a step does to the model before it is encoded."""
