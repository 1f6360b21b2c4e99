"""Several samples through a model at once: what its tensors' first dimension must allow. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgemeter_protos.v1 import variant_pb2

if TYPE_CHECKING:
    from edgemeter_agent.runtimes import Array


def batched(signature: variant_pb2.Signature, batch_size: int) -> variant_pb2.Signature:
    """With the batch as the first dimension of every input and output. A batch of 1 leaves it as it is: free
    dimensions (-1) stay free.

    Raises ValueError, one line, for a tensor without a first dimension.
    """
    if batch_size == 1:
        return signature
    made = variant_pb2.Signature()
    made.CopyFrom(signature)
    for side, specs in (("input", made.inputs), ("output", made.outputs)):
        for number, spec in enumerate(specs):
            if not spec.shape:
                raise ValueError(
                    f"{side} {number} ({spec.name}) is a single number, and {batch_size} samples were to go"
                    " through at once"
                )
            spec.shape[0] = batch_size
    return made


def check_free(side: str, specs: Sequence[variant_pb2.TensorSpec], batch_size: int) -> None:
    """Raises ValueError, one line, for a tensor whose first dimension is fixed at another size."""
    if batch_size == 1:
        return
    for number, spec in enumerate(specs):
        fixed = spec.shape[0] if spec.shape else 0
        if spec.shape and fixed not in (-1, batch_size):
            raise ValueError(
                f"{side} {number} ({spec.name}) is fixed at {fixed} samples, and a batch of {batch_size} was"
                " asked for: convert the model with a free batch dimension, or for that batch"
            )


def check_outputs(shapes: Sequence[Sequence[int]], batch_size: int) -> None:
    """Whether outputs have a row for each sample: a model may take a batch and yet make one of it.

    Raises ValueError, one line, for the first output that has not.
    """
    if batch_size == 1:
        return
    for number, shape in enumerate(shapes):
        if len(shape) == 0 or shape[0] != batch_size:
            raise ValueError(
                f"output {number} has shape {list(shape)} for a batch of {batch_size}: the model does not"
                " keep its samples apart"
            )


def repeated(inputs: Sequence[Array], batch_size: int) -> list[Array]:
    """One sample as often as the batch wants it; inputs that have that many stay as they are."""
    return [
        np.repeat(array, batch_size, axis=0) if array.ndim and len(array) == 1 else array for array in inputs
    ]
