"""Trains the demo's digit classifier: `python -m edgemeter_converters.demo_net --data D.npz --out M.keras`.

Prints a line of JSON an epoch, {"epoch", "epochs", "accuracy"}, and a last one, {"accuracy", "parameters"};
accuracy is that on x_test. Keras is imported only when it runs: this is a conversion worker's business.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLASSES = 10
BATCH = 64


def train(arrays: Mapping[str, NDArray[Any]], *, epochs: int, seed: int) -> Any:
    """A small convolutional net, fitted to x_train (samples, 28, 28, 1) of 0 to 255 and y_train.

    Returns the keras.Model: float32 (batch, 28, 28, 1) of 0 to 255 in, probabilities (batch, 10) out.
    """
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    net = keras.Sequential(
        [
            keras.Input((28, 28, 1), name="image"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(64, activation="relu"),
            layers.Dense(CLASSES, activation="softmax", name="digit"),
        ],
        name="digits",
    )
    # Decays to nothing, so that the last epoch is as good as any, whatever the machine rounds.
    rate = keras.optimizers.schedules.CosineDecay(3e-3, epochs * math.ceil(len(arrays["y_train"]) / BATCH))
    net.compile(
        optimizer=keras.optimizers.Adam(rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )

    def report(epoch: int, logs: Mapping[str, float]) -> None:
        _say({"epoch": epoch + 1, "epochs": epochs, "accuracy": round(float(logs["val_accuracy"]), 4)})

    net.fit(
        arrays["x_train"].astype(np.float32),
        arrays["y_train"],
        validation_data=(arrays["x_test"].astype(np.float32), arrays["y_test"]),
        batch_size=BATCH,
        epochs=epochs,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=report)],
    )
    # Uncompiled: an optimizer's state is twice the model's size. (clone_model would compile it again.)
    bare = keras.Sequential.from_config(net.get_config())
    bare.set_weights(net.get_weights())
    return bare


def _accuracy(net: Any, inputs: NDArray[Any], labels: NDArray[Any]) -> float:
    predicted = net.predict(inputs.astype(np.float32), batch_size=250, verbose=0).argmax(axis=1)
    return float((predicted == labels).mean())


def _say(record: Mapping[str, Any]) -> None:
    print(json.dumps(record), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, and writes the model whole or not at all."""
    parser = argparse.ArgumentParser(prog="python -m edgemeter_converters.demo_net")
    parser.add_argument(
        "--data", type=Path, required=True, help="x_train, y_train, x_test, y_test in an .npz"
    )
    parser.add_argument("--out", type=Path, required=True, help="the .keras file to write")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    # TensorFlow's start-up notes would fill the log.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["KERAS_BACKEND"] = "tensorflow"

    with np.load(given.data, allow_pickle=False) as loaded:
        arrays = {name: loaded[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    net = train(arrays, epochs=given.epochs, seed=given.seed)
    accuracy = _accuracy(net, arrays["x_test"], arrays["y_test"])
    unfinished = given.out.with_name(f".{given.out.stem}.new.keras")
    net.save(unfinished)
    unfinished.replace(given.out)
    _say({"accuracy": round(accuracy, 4), "parameters": int(net.count_params())})


if __name__ == "__main__":
    main()
