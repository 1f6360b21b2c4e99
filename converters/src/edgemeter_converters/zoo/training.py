"""Says how far a Keras training is. Imports Keras."""

from __future__ import annotations

from typing import Any

import keras

from edgemeter_converters.zoo.entry import say


class Said(keras.callbacks.Callback):  # type: ignore[misc]
    """A line an epoch."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self._epochs = epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        say(f"training: epoch {epoch + 1} of {self._epochs}, loss {(logs or {}).get('loss', 0.0):.3f}")
