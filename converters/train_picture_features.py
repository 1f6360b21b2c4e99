"""Trains the net whose features `tasks/picture_features.py` gives, and writes its weights beside it.

    python converters/train_picture_features.py

On Fashion-MNIST, out of its package, in about two minutes. The weights differ a little between machines, so
those in the repository are replaced only on purpose: Fréchet distances over other weights are other numbers,
and want another name than `fid_fashion`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.tasks import picture_features
from edgemeter_converters.zoo import fashion

WEIGHTS = Path(__file__).parent / "src/edgemeter_converters/tasks/picture_features.npz"
CHANNELS = ((16, 2), (32, 2), (32, 1))
"""Of each 3 x 3 convolution: how many, and the stride."""
EPOCHS = 8
BATCH = 128
SEED = 1


def main() -> None:
    """Prints the accuracy on the evaluation pictures, with the weights as they are kept."""
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
    import keras
    import tensorflow

    tensorflow.config.threading.set_intra_op_parallelism_threads(2)
    keras.utils.set_random_seed(SEED)
    data = fashion.arrays()
    train, test = ((data[f"x_{split}"] / np.float32(255), data[f"y_{split}"]) for split in ("train", "test"))
    net = _net()
    schedule = keras.optimizers.schedules.CosineDecay(3e-3, EPOCHS * -(-len(train[0]) // BATCH))
    net.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"])
    net.fit(*train, BATCH, EPOCHS, verbose=2, validation_data=test)

    features = keras.Model(net.inputs, net.get_layer("features").output)
    weights = _weights(net, deviations=features.predict(train[0], 1000, verbose=0).std(axis=0))
    np.savez_compressed(WEIGHTS, allow_pickle=False, **weights)

    kept = picture_features.features(test[0]) @ weights["head_kernel"] + weights["head_bias"]
    right = np.mean(kept.argmax(axis=1) == test[1])
    print(f"{WEIGHTS.stat().st_size / 1e3:.1f} kB, accuracy {right:.4f}")


def _net() -> Any:
    from keras import Input, Model, layers

    pictures = Input((28, 28, 1))
    x = pictures
    for at, (channels, stride) in enumerate(CHANNELS):
        x = layers.ZeroPadding2D()(x)
        x = layers.Conv2D(channels, 3, stride, use_bias=False, name=f"convolution_{at}")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"norm_{at}")(x)
        x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D(name="features")(x)
    return Model(pictures, layers.Dense(10, activation="softmax", name="head")(x))


def _weights(net: Any, *, deviations: NDArray[Any]) -> dict[str, NDArray[np.float16]]:
    """With each normalization folded into the convolution before it, and each feature's standard deviation
    over the training pictures made 1: a ReLU and a mean keep a factor."""
    scale = 1 / np.maximum(deviations, 1e-3)
    found: dict[str, NDArray[Any]] = {}
    for at in range(len(CHANNELS)):
        (kernel,) = net.get_layer(f"convolution_{at}").get_weights()
        norm = net.get_layer(f"norm_{at}")
        gamma, beta, mean, variance = norm.get_weights()
        factor = gamma / np.sqrt(variance + norm.epsilon)
        last = scale if at == len(CHANNELS) - 1 else 1.0
        found[f"kernel_{at}"] = kernel * factor * last
        found[f"bias_{at}"] = (beta - mean * factor) * last
    kernel, found["head_bias"] = net.get_layer("head").get_weights()
    found["head_kernel"] = kernel / scale[:, None]
    return {name: each.astype(np.float16) for name, each in found.items()}


if __name__ == "__main__":
    main()
