"""A small residual net for Fashion-MNIST: 8.2 M multiply-accumulates, 168 thousand parameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

EPOCHS = 3
SEED = 1
BATCH = 64


def net() -> Any:
    """(batch, 28, 28, 1) bytes -> (batch, 10) probabilities."""
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


def train(arrays: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Trains on `x_train` and `y_train`, and writes a .keras file."""
    import keras

    from edgemeter_converters.zoo.training import Said

    keras.utils.set_random_seed(SEED)
    built = net()
    steps = EPOCHS * -(-len(arrays["x_train"]) // BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    built.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"])
    built.fit(arrays["x_train"], arrays["y_train"], BATCH, EPOCHS, verbose=0, callbacks=[Said(EPOCHS)])
    built.save(path)
