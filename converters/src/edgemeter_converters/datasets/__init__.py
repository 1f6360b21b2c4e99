"""Data to calibrate, train and evaluate with, one file a container."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from edgemeter_converters.datasets import npz
from edgemeter_converters.datasets.dataset import Dataset, Inputs, Samples
from edgemeter_converters.datasets.digests import inputs_digest, samples_digest
from edgemeter_converters.datasets.fit import check_fits
from edgemeter_converters.datasets.npz import write_inputs, write_labels
from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.v1 import refusal_pb2, variant_pb2

__all__ = [
    "READERS",
    "Dataset",
    "Inputs",
    "Samples",
    "check_fits",
    "input_specs",
    "inputs_digest",
    "read",
    "samples_digest",
    "write_inputs",
    "write_labels",
]

READERS = MappingProxyType({".npz": npz.read})
"""By the file name's suffix."""


def read(path: Path, file_name: str) -> Dataset:
    """The dataset in a file whose kind its name's suffix tells.

    Raises:
        ConversionError: NOT_A_DATASET, or TOO_LARGE.
    """
    reader = READERS.get(Path(file_name).suffix.lower())
    if reader is None:
        raise ConversionError(
            f"{file_name}: data is read from {', '.join(READERS)} files",
            reason=refusal_pb2.REFUSAL_REASON_NOT_A_DATASET,
        )
    return reader(path, file_name)


def input_specs(inputs: Inputs) -> tuple[variant_pb2.TensorSpec, ...]:
    """What one sample is made of: `input_0`, …, without the batch dimension."""
    return tuple(
        variant_pb2.TensorSpec(name=f"input_{index}", dtype=array.dtype.name, shape=array.shape[1:])
        for index, array in enumerate(inputs)
    )
