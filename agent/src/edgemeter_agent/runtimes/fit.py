"""Whether inputs fit a model's signature. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgemeter_protos.v1 import variant_pb2

if TYPE_CHECKING:
    from edgemeter_agent.runtimes import Array


def check_fits(inputs: Sequence[Array], specs: Sequence[variant_pb2.TensorSpec]) -> None:
    """Raises ValueError for a number of inputs, or a shape, that the model does not take."""
    if len(inputs) != len(specs):
        raise ValueError(f"the model takes {len(specs)} inputs, and {len(inputs)} were given")
    for number, (array, spec) in enumerate(zip(inputs, specs, strict=True)):
        if not _fits(array.shape, spec.shape):
            raise ValueError(
                f"input {number} ({spec.name}) takes shape {list(spec.shape)},"
                f" and {list(array.shape)} was given"
            )


def _fits(shape: tuple[int, ...], wanted: Sequence[int]) -> bool:
    return len(shape) == len(wanted) and all(w in (-1, s) for s, w in zip(shape, wanted, strict=True))
