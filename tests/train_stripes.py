"""Makes what the acceptance tests feed in: a small real net, its data, and files that must be refused.

    python train_stripes.py DIRECTORY

Writes stripes.npz (12x12 uint8 pictures of horizontal, vertical and diagonal stripes in noise),
stripes.keras (trained on them), wide.npz (pictures of another shape), lambda.keras (runs code when
loaded), no-model.keras (text), and stripes.tflite (stripes.keras by TensorFlow's own converter).
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray


def stripes(samples: int, side: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures (samples, side, side, 1) uint8 and labels (samples,) int64 of three classes."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, samples)
    rows, columns = np.mgrid[0:side, 0:side]
    directions = np.stack([rows, columns, rows + columns])
    phases = random.uniform(0, 2 * np.pi, (samples, 1, 1))
    waves = np.sin(directions[labels] * 1.6 + phases) * 90 + 128
    pictures = waves + random.normal(0, 45, waves.shape)
    return pictures.clip(0, 255).astype(np.uint8)[..., None], labels.astype(np.int64)


def net(extra: keras.Layer | None = None) -> keras.Model:
    """12x12x1 pictures to three classes."""
    layers = keras.layers
    middle = [extra] if extra is not None else []
    return keras.Sequential(
        [
            layers.Input((12, 12, 1)),
            layers.Rescaling(1 / 255),
            *middle,
            layers.Conv2D(8, 3, activation="relu"),
            # 1,152 weights: dynamic range leaves tensors of fewer than 1,024 as they are.
            layers.Conv2D(16, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def main(directory: Path) -> None:
    keras.utils.set_random_seed(7)
    x_train, y_train = stripes(600, 12, 1)
    x_test, y_test = stripes(200, 12, 2)
    np.savez(directory / "stripes.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    wide, labels = stripes(60, 16, 3)
    np.savez(directory / "wide.npz", x=wide, y=labels)

    model = net()
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy")
    model.fit(x_train, y_train, epochs=6, batch_size=32, verbose=0)
    model.save(directory / "stripes.keras")
    net(keras.layers.Lambda(lambda x: x * 2)).save(directory / "lambda.keras")
    with tempfile.TemporaryDirectory() as saved:
        model.export(saved, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(saved)
        (directory / "stripes.tflite").write_bytes(converter.convert())
    (directory / "no-model.keras").write_text("this is no model\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
