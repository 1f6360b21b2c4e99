"""textgenrnn's character LSTM, rebuilt in Keras with its weights: a .keras file, and windows of text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.zoo import fortunes
from edgemeter_converters.zoo.entry import LANGUAGE, Entry
from edgemeter_converters.zoo.packages import Source, fetch

SOURCE = Source(
    package="textgenrnn==2.0.0",
    members=("*/textgenrnn_weights.hdf5", "*/textgenrnn_vocab.json"),
    sha256="c97e97084d25272d654262a5574ed501740dcb3c3f8a99b3b6198aad0784d712",
    archive_sha256="c2b6f1c201c76d5a6021079e95a8db499bbe15d9f3448d33cb51c0cd496c86f8",
    size_mb=1.7,
)
WINDOW = 40
TRAINING, EVALUATION = 4000, 1000
STRIDE = 7
"""Characters between windows: neighbours tell much the same."""


def write_model(path: Path) -> Path:
    """Character numbers (batch, 40) in, probabilities of the next one out. Raises FetchError."""
    import h5py

    from edgemeter_converters.zoo.nets import char_lstm

    files = fetch(SOURCE)
    vocabulary = json.loads(files["textgenrnn_vocab.json"].read_text(encoding="utf-8"))
    net = char_lstm.net(len(vocabulary) + 1)
    with h5py.File(files["textgenrnn_weights.hdf5"]) as weights:
        char_lstm.load(net, weights)
    net.save(path)
    return path


def write_data(path: Path) -> Path:
    """An .npz: `x_train` (almost 4000, 40) and `x_test` (1000, 40), int32, characters' numbers of windows of
    text; `y_train` and `y_test`, the number of the character that follows. Raises FetchError."""
    vocabulary = json.loads(fetch(SOURCE)["textgenrnn_vocab.json"].read_text(encoding="utf-8"))
    text = "\n".join(" ".join(each.split()) for each in fortunes.of("computers"))
    numbers = np.array([vocabulary[each] for each in text if each in vocabulary], np.int32)
    arrays = {}
    for split, count in (("train", TRAINING), ("test", EVALUATION)):
        arrays[f"x_{split}"], arrays[f"y_{split}"] = _windows(numbers, count)
        numbers = numbers[STRIDE * count + WINDOW :]
    # Some texts quote the same words.
    known = {window.tobytes() for window in arrays["x_test"]}
    fresh = [window.tobytes() not in known for window in arrays["x_train"]]
    arrays |= {name: arrays[name][fresh] for name in ("x_train", "y_train")}
    np.savez_compressed(path, allow_pickle=False, **arrays)
    return path


def _windows(numbers: NDArray[Any], count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    starts = STRIDE * np.arange(count)
    windows = numbers[starts[:, None] + np.arange(WINDOW + 1)]
    return windows[:, :-1], windows[:, -1].astype(np.int64)


ENTRY = Entry(
    name="char-lstm",
    application=LANGUAGE,
    summary="textgenrnn's two-layer LSTM: the next of 465 characters after 40, 461,693 parameters (Keras)",
    sources=(SOURCE, fortunes.SOURCE),
    licence="MIT (weights), BSD (texts)",
    origin="textgenrnn 2.0.0, github.com/minimaxir/textgenrnn",
    model_suffix=".keras",
    write_model=write_model,
    write_data=write_data,
    task="next-character",
    notes=("its training text was social media's; the text here is Debian's fortunes about computers",),
)
