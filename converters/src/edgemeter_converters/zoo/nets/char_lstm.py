"""textgenrnn's network: two LSTMs after an embedding, and attention over all three. Imports Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW, EMBEDDING, UNITS = 40, 100, 128


def net(characters: int) -> Any:
    """(batch, 40) int32 -> (batch, characters) probabilities."""
    from keras import Input, Model, layers

    numbers = Input((WINDOW,), dtype="int32", name="characters")
    embedded = layers.Embedding(characters, EMBEDDING, name="embedding")(numbers)
    first = layers.LSTM(UNITS, return_sequences=True, name="rnn_1")(embedded)
    second = layers.LSTM(UNITS, return_sequences=True, name="rnn_2")(first)
    joined = layers.Concatenate(name="rnn_concat")([embedded, first, second])
    shares = layers.Softmax(axis=1)(layers.Dense(1, use_bias=False, name="attention")(joined))
    mean = layers.Flatten()(layers.Dot(axes=1)([shares, joined]))
    return Model(
        numbers, layers.Dense(characters, activation="softmax", name="output")(mean), name="char_lstm"
    )


def load(built: Any, weights: Any) -> None:
    """Sets the weights of an opened .hdf5 file of textgenrnn's, whose LSTMs are in cuDNN's layout."""
    for layer in built.layers:
        if layer.name in weights and layer.weights:
            kept = [np.asarray(each) for each in _arrays(weights[layer.name])]
            layer.set_weights(_plain_lstm(*kept) if layer.name.startswith("rnn_") else kept)


def _arrays(group: Any) -> list[Any]:
    """In the order that the file says."""
    return [group[name] for name in group.attrs["weight_names"]]


def _plain_lstm(kernel: NDArray[Any], recurrent: NDArray[Any], bias: NDArray[Any]) -> list[NDArray[Any]]:
    """cuDNN keeps each gate's kernel transposed, and a bias for either product."""
    gates = np.split(kernel, 4, axis=1)
    return [
        np.concatenate([gate.T.reshape(gate.shape, order="F") for gate in gates], axis=1),
        np.concatenate([gate.T for gate in np.split(recurrent, 4, axis=1)], axis=1),
        bias[: 4 * UNITS] + bias[4 * UNITS :],
    ]
