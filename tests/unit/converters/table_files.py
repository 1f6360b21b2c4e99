"""Tables as the tests write them."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from edgemeter_converters import datasets


def parquet(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream, row_group_size=7)
    return stream.getvalue()


def arrow_stream(table: pa.Table) -> bytes:
    """As `datasets` writes its .arrow files."""
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)
    return stream.getvalue()


def arrow_file(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    with pa.ipc.new_file(stream, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)
    return stream.getvalue()


def every(dataset: datasets.Dataset, number: int = 0) -> np.ndarray:
    """An input of all samples, training's and then evaluation's."""
    return np.concatenate([dataset.training.inputs[number], dataset.evaluation.inputs[number]])


def labels(dataset: datasets.Dataset) -> list[int]:
    assert dataset.training.labels is not None
    assert dataset.evaluation.labels is not None
    return [*dataset.training.labels.tolist(), *dataset.evaluation.labels.tolist()]


def png(seed: int, channels: int = 3, height: int = 5, width: int = 4) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels(seed, channels, height, width).squeeze()).save(stream, "PNG")
    return stream.getvalue()


def pixels(seed: int, channels: int = 3, height: int = 5, width: int = 4) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (height, width, channels)).astype(np.uint8)


ROWS = 20
LABELS = [row % 3 for row in range(ROWS)]
GRID = np.arange(ROWS * 6, dtype=np.float32).reshape(ROWS, 2, 3)


def image_column(contents: list[bytes | None]) -> pa.Array:
    cells = [{"bytes": content, "path": f"{row}.png"} for row, content in enumerate(contents)]
    return pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


def class_label(table: pa.Table, *names: str) -> pa.Table:
    """With the features of `datasets` in its metadata."""
    features = {"label": {"names": list(names), "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
