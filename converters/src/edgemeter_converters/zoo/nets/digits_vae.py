"""A convolutional variational autoencoder for digits (Kingma and Welling, arXiv:1312.6114)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LATENTS = 8
EPOCHS = 20
BATCH = 64
SEED = 1


def decoder() -> Any:
    """(batch, 8) -> (batch, 28, 28, 1), values from 0 to 1: 51 thousand parameters."""
    from keras import Input, Model, layers

    latents = Input((LATENTS,), name="latents")
    x = layers.Dense(7 * 7 * 32, activation="relu")(latents)
    x = layers.Reshape((7, 7, 32))(x)
    x = layers.Conv2DTranspose(64, 3, 2, padding="same", activation="relu")(x)
    x = layers.Conv2DTranspose(32, 3, 2, padding="same", activation="relu")(x)
    return Model(latents, layers.Conv2D(1, 3, padding="same", activation="sigmoid")(x), name="digits_vae")


def encoder() -> Any:
    """(batch, 28, 28, 1) of 0 to 1 -> mean and logarithm of the variance, (batch, 16)."""
    from keras import Input, Model, layers

    pixels = Input((28, 28, 1))
    x = layers.Conv2D(32, 3, 2, padding="same", activation="relu")(pixels)
    x = layers.Conv2D(64, 3, 2, padding="same", activation="relu")(x)
    x = layers.Dense(128, activation="relu")(layers.Flatten()(x))
    return Model(pixels, layers.Dense(2 * LATENTS)(x))


def train(pictures: NDArray[np.uint8], path: Path) -> None:
    """Trains both, and writes the decoder as a .keras file.

    The loss is the evidence lower bound's: cross-entropy of the pixels and the divergence of the latents from
    a normal distribution, both in nats a picture.
    """
    import keras
    import tensorflow as tf

    from edgemeter_converters.zoo.entry import say

    keras.utils.set_random_seed(SEED)
    encode, decode = encoder(), decoder()
    weights = encode.trainable_variables + decode.trainable_variables
    optimizer = keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(2e-3, EPOCHS * (len(pictures) // BATCH))
    )
    optimizer.build(weights)

    @tf.function  # type: ignore[untyped-decorator]
    def step(batch: Any) -> Any:
        with tf.GradientTape() as tape:
            mean, log_variance = tf.split(encode(batch, training=True), 2, axis=1)
            noise = tf.random.normal(tf.shape(mean))
            made = decode(mean + tf.exp(log_variance / 2) * noise, training=True)
            pixels = tf.reduce_sum(keras.losses.binary_crossentropy(batch, made), axis=(1, 2))
            divergence = tf.reduce_sum(tf.exp(log_variance) + mean**2 - 1 - log_variance, axis=1) / 2
            loss = tf.reduce_mean(pixels + divergence)
        optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    scaled = (pictures / 255).astype(np.float32)
    batches = (
        tf.data.Dataset.from_tensor_slices(scaled)
        .shuffle(len(scaled), SEED)
        .batch(BATCH, drop_remainder=True)
    )
    for epoch in range(EPOCHS):
        losses = [float(step(batch)) for batch in batches]
        say(f"training: epoch {epoch + 1} of {EPOCHS}, loss {np.mean(losses):.1f}")
    decode.save(path)
