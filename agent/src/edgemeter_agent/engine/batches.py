"""Samples through a model, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgemeter_agent.engine import arrays
from edgemeter_agent.runtimes import LoadedModel
from edgemeter_protos.preprocessing import apply_each
from edgemeter_protos.v1 import variant_pb2


def batch_of(inputs: Sequence[arrays.Array], first: int, samples: int, batch_size: int) -> list[arrays.Array]:
    """`batch_size` samples from number `first` on; after the last of the first `samples` it goes on with the
    first one."""
    numbers = np.arange(first, first + batch_size) % samples
    return [array[numbers] for array in inputs]


def run_samples(
    model: LoadedModel,
    inputs: Sequence[arrays.Array],
    samples: int,
    preprocessing: Sequence[variant_pb2.Preprocessing] = (),
    batch_size: int = 1,
) -> list[npt.NDArray[np.float32]]:
    """Outputs of the first `samples` samples, each preprocessed, `batch_size` of them at once; real values,
    float32, batch first. The last batch is filled up with the first samples, and its outputs are there too:
    row n is of sample n % `samples`.

    Raises ValueError for no samples, for preprocessing that doesn't fit them, and where a batch does not come
    out as so many samples.
    """
    if samples == 0:
        raise ValueError("there are no samples to run")
    rows: list[list[npt.NDArray[np.float32]]] = []
    for first in range(0, samples, batch_size):
        model.prepare(apply_each(preprocessing, batch_of(inputs, first, samples, batch_size)))
        model.query()
        outputs = model.outputs()
        if batch_size > 1:
            _check_batch(outputs, batch_size)
        rows.append(outputs)
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def _check_batch(outputs: Sequence[npt.NDArray[np.float32]], batch_size: int) -> None:
    for number, output in enumerate(outputs):
        if output.shape[:1] != (batch_size,):
            raise ValueError(
                f"output {number} has shape {list(output.shape)} for a batch of {batch_size}: this model does"
                " not keep the samples of a batch apart; use batch_size 1"
            )
