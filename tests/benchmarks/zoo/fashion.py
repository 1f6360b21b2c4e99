"""Fashion-MNIST, and a small residual net that is trained on it: where fine-tuning has data to be judged by.

From Debian's dataset-fashion-mnist (Expat; Xiao et al., arXiv:1708.07747): 60,000 pictures of clothes to
train with and 10,000 to evaluate, 28 x 28, ten classes.

python fashion.py DATA MODEL        trains; called by `model`, so that no benchmark holds TensorFlow in memory
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHA256 = "dc92822c890200774b85639862da9b7a0ff28cd78cfc1f42904fdbbc5c70591b"
EPOCHS = 3
SEED = 1
BATCH = 64

_HEADER_BYTES = {"images": 16, "labels": 8}
"""Of the IDX format: a magic number, then each dimension, four bytes each."""


def write(path: Path, *, training: int = 60_000, evaluation: int = 10_000) -> Path:
    """An .npz: `x_train`, `x_test` (…, 28, 28, 1) uint8, `y_train`, `y_test`: the first so many of each.

    Raises packages.FetchError.
    """
    from . import packages

    files = packages.fetch(
        packages.Source(
            package="dataset-fashion-mnist=0.0~git20200523.55506a9-1", members=("*-ubyte.gz",), sha256=SHA256
        )
    )
    arrays = {}
    for split, prefix, count in (("train", "train", training), ("test", "t10k", evaluation)):
        pictures = _idx(files[f"{prefix}-images-idx3-ubyte.gz"], "images").reshape(-1, 28, 28, 1)
        arrays[f"x_{split}"] = pictures[:count]
        arrays[f"y_{split}"] = _idx(files[f"{prefix}-labels-idx1-ubyte.gz"], "labels")[:count].astype(
            np.int64
        )
    np.savez_compressed(path, allow_pickle=False, **arrays)
    return path


def model(data: Path, path: Path) -> Path:
    """The net, trained on `data`, as a .keras file; from the cache where it was trained before."""
    import platformdirs

    digest = hashlib.sha256(data.read_bytes() + Path(__file__).read_bytes())
    digest.update(f"keras {metadata.version('keras')}".encode())
    kept = platformdirs.user_cache_path("edgemeter") / "zoo" / f"fashion-{digest.hexdigest()[:16]}.keras"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            trained = Path(folder, "net.keras")
            done = subprocess.run([sys.executable, __file__, data, trained], capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr[-2000:])
            trained.replace(kept)
    shutil.copyfile(kept, path)
    return path


def _idx(path: Path, kind: str) -> NDArray[np.uint8]:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=_HEADER_BYTES[kind])


def _net() -> Any:
    """8.2 M multiply-accumulates, 167 thousand parameters."""
    from keras import Input, Model, layers

    def convolution(x: Any, channels: int, stride: int = 1, *, active: bool = True) -> Any:
        x = layers.Conv2D(channels, 3, stride, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        return layers.ReLU()(x) if active else x

    def block(x: Any, channels: int) -> Any:
        y = convolution(convolution(x, channels), channels, active=False)
        return layers.ReLU()(layers.Add()([x, y]))

    pixels = Input((28, 28, 1), name="pixels")
    x = layers.Rescaling(1 / 255)(pixels)
    x = convolution(x, 32, stride=2)
    x = convolution(x, 64, stride=2)
    x = block(block(x, 64), 64)
    x = layers.GlobalAveragePooling2D()(x)
    return Model(pixels, layers.Dense(10, activation="softmax")(x), name="fashion")


def train(data: Path, path: Path) -> None:
    """Prints the accuracy on the evaluation pictures."""
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
    import keras

    keras.utils.set_random_seed(SEED)
    with np.load(data) as arrays:
        x_train, y_train, x_test, y_test = (
            arrays[name] for name in ("x_train", "y_train", "x_test", "y_test")
        )
    net = _net()
    steps = EPOCHS * -(-len(x_train) // BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    net.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"])
    net.fit(x_train, y_train, BATCH, EPOCHS, verbose=2, validation_data=(x_test, y_test))
    net.save(path)


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]))
