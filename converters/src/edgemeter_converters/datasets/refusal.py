"""What readers of data refuse: the one line that the user reads."""

from __future__ import annotations

from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.v1 import lab_pb2, refusal_pb2

MAX_BYTES = 8 << 30
"""Uncompressed, over all arrays: they are held in memory at once."""


def not_a_dataset(file_name: str, what: str) -> ConversionError:
    """NOT_A_DATASET: what is wrong in which file, and what to do."""
    return ConversionError(
        f"{file_name}: {' '.join(what.split())}", reason=refusal_pb2.REFUSAL_REASON_NOT_A_DATASET
    )


def check_size(file_name: str, what: str, size_bytes: int) -> None:
    """Raises ConversionError, TOO_LARGE, where `size_bytes` is more than is read; `what` takes them."""
    if size_bytes > MAX_BYTES:
        raise ConversionError(
            f"{file_name}: {what} take {size_bytes:,} bytes, at most {MAX_BYTES:,} are read",
            reason=refusal_pb2.REFUSAL_REASON_TOO_LARGE,
        )


def check_reading(
    file_name: str, reading: lab_pb2.DataReading, *, pictures: bool = False, table: bool = False
) -> None:
    """Refuses to be told what the file can't use.

    Args:
        pictures: it holds pictures, which may be resized.
        table: it has columns.

    Raises:
        ConversionError: NOT_A_DATASET, also for a picture size of which one side is missing.
    """
    sized = bool(reading.image_height or reading.image_width)
    if sized and not pictures:
        raise not_a_dataset(file_name, "it holds no pictures: leave --image-size out")
    if sized and not (reading.image_height and reading.image_width):
        raise not_a_dataset(file_name, "a picture size has both height and width: --image-size 224x224")
    if not table and (reading.input_columns or reading.label_column):
        raise not_a_dataset(file_name, "it has no columns: leave --input-column and --label-column out")


def picture_size(reading: lab_pb2.DataReading) -> tuple[int, int] | None:
    """Height and width that pictures are brought to; None to leave them as they are."""
    return (reading.image_height, reading.image_width) if reading.image_height else None
