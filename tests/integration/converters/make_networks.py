"""Writes a small trained network with its data, and odd ones, into a folder: `make_networks.py FOLDER`.

A program of its own, so that TensorFlow stays out of the tests' process.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from edgemeter_converters import process


def patterns(path: Path) -> None:
    """Ten patterns of 12 by 12 under noise: learnt in seconds, and not perfectly."""
    random = np.random.RandomState(7)
    shapes = random.random_sample((10, 12, 12, 1))
    labels = random.randint(0, 10, 1200)
    images = 0.3 * shapes[labels] + 0.7 * random.random_sample((1200, 12, 12, 1))
    pixels = np.round(images * 255).astype(np.uint8)
    np.savez(path, x_train=pixels[:900], y_train=labels[:900], x_test=pixels[900:], y_test=labels[900:])


def trained(data: Path) -> Any:
    """Batch normalization, depthwise convolution, a residual add, softmax; pixels in."""
    import keras

    layers = keras.layers
    inputs = keras.Input((12, 12, 1), name="image")
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(12, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.8)(x)
    x = layers.ReLU()(x)
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = layers.Add()([x, layers.Conv2D(12, 1)(y)])
    x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    x = layers.Dense(48, activation="relu")(x)
    network = keras.Model(inputs, layers.Dense(10, activation="softmax")(x), name="patterns")
    network.compile("adam", "sparse_categorical_crossentropy")
    with np.load(data) as arrays:
        network.fit(arrays["x_train"], arrays["y_train"], epochs=8, batch_size=30, verbose=0)
    return network


def save_odd(folder: Path) -> None:
    """To be refused, or unlike the trained one."""
    import keras
    from keras import layers

    image = keras.Input((12, 12, 1))

    twice = keras.Sequential([image, layers.Flatten(), layers.Lambda(lambda x: x * 2, name="twice")])
    twice.save(folder / "lambda.keras")
    twice.save(folder / "lambda.h5")

    @keras.saving.register_keras_serializable(package="mine")
    class Own(layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x

    keras.Sequential([image, Own(name="mystery")]).save(folder / "own.keras")

    keras.Sequential([image, layers.Flatten(), layers.Dense(10)]).save(folder / "plain.h5")

    # Of any size until data says which.
    any_size = [keras.Input((None, None, 1)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()]
    keras.Sequential([*any_size, layers.Dense(10)]).save(folder / "any_size.keras")

    # TensorFlow Lite has no integer kernel for the sine.
    waves = layers.Dense(10)(layers.Flatten()(keras.ops.sin(image)))
    keras.Model(image, waves).save(folder / "sine.keras")

    # The structure's order, the graph's order and the names' order all differ.
    zulu, alpha = keras.Input((4,), name="zulu"), keras.Input((3,), name="alpha")
    joined = layers.Concatenate()([layers.Dense(5)(zulu), alpha])
    heads = {"wide": layers.Dense(6)(joined), "narrow": layers.Dense(2)(joined)}
    keras.Model({"zulu": zulu, "alpha": alpha}, heads).save(folder / "two.keras")

    recurrent = [keras.Input((12, 12)), layers.LSTM(8), layers.Dense(10)]
    keras.Sequential(recurrent).save(folder / "recurrent.keras")


def main(folder: Path) -> None:
    process.prepare()
    import keras

    keras.utils.set_random_seed(3)
    patterns(folder / "patterns.npz")
    trained(folder / "patterns.npz").save(folder / "patterns.keras")
    save_odd(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
