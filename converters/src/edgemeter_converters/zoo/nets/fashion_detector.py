"""A one-stage detector for canvases of clothes: a grid of 12 x 12 cells, each of which may hold a centre."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE, CELLS, CLASSES = 96, 12, 10
EPOCHS, BATCH, SEED = 10, 32, 1


def net() -> Any:
    """(batch, 96, 96, 1) bytes -> (batch, 12, 12, 15): objectness, y, x, height, width, then classes, before
    any activation."""
    from keras import Input, Model, layers

    def convolution(x: Any, channels: int, stride: int = 1) -> Any:
        x = layers.Conv2D(channels, 3, stride, padding="same", use_bias=False)(x)
        return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))

    pixels = Input((SIDE, SIDE, 1), name="pixels")
    x = convolution(layers.Rescaling(1 / 255)(pixels), 16, stride=2)
    x = convolution(x, 32, stride=2)
    x = convolution(x, 64, stride=2)
    for _ in range(3):
        x = layers.Add()([x, convolution(x, 64)])
    return Model(pixels, layers.Conv2D(5 + CLASSES, 1, name="cells")(x), name="fashion_detector")


def cells_of(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes (samples, boxes, 5) as what the net is to say: (samples, 12, 12, 6): 1 where a centre is, its
    place in the cell, height and width as shares of the picture, and the class."""
    wanted = np.zeros((len(boxes), CELLS, CELLS, 6), np.float32)
    samples, rows = np.nonzero(boxes[..., 4] >= 0)
    found = boxes[samples, rows]
    centres = (found[:, :2] + found[:, 2:4]) / 2 * CELLS
    cells = np.minimum(centres.astype(int), CELLS - 1)
    wanted[samples, cells[:, 0], cells[:, 1]] = np.concatenate(
        [np.ones((len(found), 1)), centres - cells, found[:, 2:4] - found[:, :2], found[:, 4:]], axis=1
    )
    return wanted


def loss(wanted: Any, given: Any) -> Any:
    """A sample's: cross-entropy of the objectness, and where there is something, the distance of the boxes'
    numbers and the cross-entropy of the classes."""
    import keras
    import tensorflow as tf

    there = wanted[..., 0]
    objectness = keras.losses.binary_crossentropy(there[..., None], given[..., :1], from_logits=True)
    places = tf.reduce_sum(tf.abs(tf.sigmoid(given[..., 1:5]) - wanted[..., 1:5]) * _WEIGHTS, axis=-1)
    kinds = keras.losses.sparse_categorical_crossentropy(wanted[..., 5], given[..., 5:], from_logits=True)
    return tf.reduce_sum(objectness + there * (places + kinds), axis=(1, 2))


_WEIGHTS = (1.0, 1.0, 5.0, 5.0)
"""A centre's place is a share of a cell, a size one of the picture, which is much less."""


def train(canvases: NDArray[np.uint8], boxes: NDArray[np.float32], path: Path) -> None:
    """Trains, and writes a .keras file."""
    import keras

    from edgemeter_converters.zoo.training import Said

    keras.utils.set_random_seed(SEED)
    built = net()
    steps = EPOCHS * -(-len(canvases) // BATCH)
    built.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)), loss)
    built.fit(canvases, cells_of(boxes), BATCH, EPOCHS, verbose=0, callbacks=[Said(EPOCHS)])
    # What it was trained with is not the file's: nobody else has that loss.
    built.compile()
    built.save(path)
