"""Fashion-MNIST: 60,000 pictures of clothes to train with and 10,000 to evaluate, 28 x 28, ten classes.

From Debian's dataset-fashion-mnist (Expat; Xiao et al., arXiv:1708.07747).
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.zoo.packages import Source, fetch

SOURCE = Source(
    package="dataset-fashion-mnist=0.0~git20200523.55506a9-1",
    members=("*-ubyte.gz",),
    sha256="dc92822c890200774b85639862da9b7a0ff28cd78cfc1f42904fdbbc5c70591b",
    size_mb=30.9,
)

CLASSES = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip

_HEADER_BYTES = {"images": 16, "labels": 8}
"""Of the IDX format: a magic number, then each dimension, four bytes each."""


def arrays(*, training: int = 60_000, evaluation: int = 10_000) -> dict[str, NDArray[Any]]:
    """`x_train`, `x_test` (…, 28, 28, 1) uint8, `y_train`, `y_test` int64: the first so many of each.

    Raises FetchError.
    """
    files = fetch(SOURCE)
    found: dict[str, NDArray[Any]] = {}
    for split, prefix, count in (("train", "train", training), ("test", "t10k", evaluation)):
        pictures = _idx(files[f"{prefix}-images-idx3-ubyte.gz"], "images").reshape(-1, 28, 28, 1)
        found[f"x_{split}"] = pictures[:count]
        found[f"y_{split}"] = _idx(files[f"{prefix}-labels-idx1-ubyte.gz"], "labels")[:count].astype(np.int64)
    return found


def write(path: Path, *, training: int = 60_000, evaluation: int = 10_000) -> Path:
    """An .npz of `arrays`, with `class_names`."""
    found = arrays(training=training, evaluation=evaluation)
    np.savez_compressed(path, allow_pickle=False, class_names=np.array(CLASSES), **found)
    return path


def _idx(path: Path, kind: str) -> NDArray[np.uint8]:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=_HEADER_BYTES[kind])
