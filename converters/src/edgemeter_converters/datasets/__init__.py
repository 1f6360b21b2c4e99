"""Data to calibrate, train and evaluate with, one file a container.

Whatever it comes in, it is brought into one form once, when it is added: an .npz of splits, by `write`. That
is what variants are built with.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

from edgemeter_converters.datasets import archive, layout, npz, picture_folder, tables, text
from edgemeter_converters.datasets.dataset import Dataset, Inputs, Samples
from edgemeter_converters.datasets.digests import inputs_digest, samples_digest
from edgemeter_converters.datasets.fit import check_fits
from edgemeter_converters.datasets.function import call
from edgemeter_converters.datasets.npz import write, write_inputs, write_labels
from edgemeter_converters.datasets.refusal import check_reading, not_a_dataset
from edgemeter_converters.datasets.splits import calibration
from edgemeter_protos.v1 import lab_pb2, variant_pb2

__all__ = [
    "READERS",
    "Dataset",
    "Inputs",
    "Samples",
    "calibration",
    "call",
    "check_fits",
    "input_specs",
    "inputs_digest",
    "label_spec",
    "read",
    "read_text",
    "samples_digest",
    "write",
    "write_inputs",
    "write_labels",
]


def _read_zip(path: Path, file_name: str, reading: lab_pb2.DataReading) -> Dataset:
    with archive.opened(path, file_name) as opened:
        pictures = any(map(layout.is_picture, opened.entries))
        rows = any(map(layout.is_table, opened.entries))
        if pictures and rows:
            raise not_a_dataset(file_name, "it holds pictures as well as tables: pack one or the other")
        if rows:
            return tables.read_archive(opened, reading)
        if pictures:
            return picture_folder.read(opened, reading)
        raise not_a_dataset(
            file_name, "it holds no pictures and no tables: pack class folders of pictures, or .parquet files"
        )


READERS: MappingProxyType[str, Callable[[Path, str, lab_pb2.DataReading], Dataset]] = MappingProxyType(
    {
        ".npz": npz.read,
        ".npy": npz.read_array,
        ".zip": _read_zip,
        ".parquet": tables.read_file,
        ".arrow": tables.read_file,
        text.SUFFIX: text.without_tokenizer,
    }
)
"""By the file name's suffix."""


def read(path: Path, file_name: str, reading: lab_pb2.DataReading | None = None) -> Dataset:
    """The dataset in a file whose kind its name's suffix tells.

    Args:
        path: where it is, by whatever name.
        file_name: what its user calls it.
        reading: what the file does not say itself.

    Raises:
        ConversionError: NOT_A_DATASET, or TOO_LARGE.
    """
    reader = READERS.get(Path(file_name).suffix.lower())
    if reader is None:
        raise not_a_dataset(file_name, f"data is read from {', '.join(READERS)} files")
    return reader(path, file_name, reading or lab_pb2.DataReading())


def label_spec(samples: Samples) -> variant_pb2.TensorSpec | None:
    """What one sample's label is; None where there are none."""
    if samples.labels is None:
        return None
    return variant_pb2.TensorSpec(
        name="labels", dtype=samples.labels.dtype.name, shape=samples.labels.shape[1:]
    )


def read_text(path: Path, file_name: str, tokenizer: Path, reading: lab_pb2.DataReading) -> Dataset:
    """The dataset in a text, as windows of token ids.

    Args:
        tokenizer: a tokenizer.json.

    Raises:
        ConversionError: NOT_A_DATASET, also for a file of another kind; or TOO_LARGE.
    """
    if Path(file_name).suffix.lower() != text.SUFFIX:
        raise not_a_dataset(file_name, f"only {text.SUFFIX} files have tokens: leave --tokenizer out")
    check_reading(file_name, reading)
    return text.read(path, file_name, tokenizer, reading.window_tokens)


def input_specs(inputs: Inputs) -> tuple[variant_pb2.TensorSpec, ...]:
    """What one sample is made of: `input_0`, …, without the batch dimension."""
    return tuple(
        variant_pb2.TensorSpec(name=f"input_{index}", dtype=array.dtype.name, shape=array.shape[1:])
        for index, array in enumerate(inputs)
    )
