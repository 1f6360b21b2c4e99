"""ESRGAN-slim for twice the size, out of a TensorFlow.js layers model: Keras, and photographs to enlarge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.zoo import pictures
from edgemeter_converters.zoo.entry import GENERATIVE, Entry
from edgemeter_converters.zoo.packages import Source, fetch

SOURCE = Source(
    package="@upscalerjs/esrgan-slim@1.0.0",
    members=("*/models/x2/*",),
    sha256="26c847d75451f1d5f863165d60f370087bb2c8b5d8b91505efede9b7fdc52273",
    size_mb=4.4,
)
LOW, HIGH = 64, 128
EVALUATION = 40


def write_model(path: Path) -> Path:
    """A .keras file: pixels of 0 to 1, (batch, 64, 64, 3) -> (batch, 128, 128, 3). Raises FetchError."""
    from edgemeter_converters.zoo import tfjs

    files = fetch(SOURCE)
    tfjs.layers_model(files["model.json"], files, (LOW, LOW, 3)).save(path)
    return path


def write_data(path: Path) -> Path:
    """An .npz: `x_test` (40, 64, 64, 3) uint8 with `y_test` (40, 128, 128, 3), and `x_train` with `y_train`:
    squares of photographs, and what bicubic resampling makes of them. Raises FetchError."""
    test, train = _squares(pictures.TO_ENLARGE), _squares(pictures.PEOPLE)
    chosen = np.linspace(0, len(test) - 1, EVALUATION).astype(int)
    test = test[chosen]
    np.savez(path, allow_pickle=False, x_train=_low(train), y_train=train, x_test=_low(test), y_test=test)
    return path


def _squares(source: Source) -> NDArray[np.uint8]:
    """Squares beside each other, without those in which next to nothing is to be seen."""
    found: list[NDArray[Any]] = []
    for picture in pictures.decoded(source):
        for top in range(0, picture.shape[0] - HIGH + 1, HIGH):
            for left in range(0, picture.shape[1] - HIGH + 1, HIGH):
                square = picture[top : top + HIGH, left : left + HIGH]
                if square.std() > 10:
                    found.append(square)
    return np.stack(found)


def _low(squares: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.stack([pictures.resized(each, LOW) for each in squares])


ENTRY = Entry(
    name="esrgan-slim",
    application=GENERATIVE,
    summary="ESRGAN-slim, 64 x 64 pixels to 128 x 128, 222 thousand parameters (Keras)",
    sources=(SOURCE, pictures.TO_ENLARGE, pictures.PEOPLE),
    licence="MIT (weights), BSD-3-Clause (photographs)",
    origin="@upscalerjs/esrgan-slim 1.0.0, trained with DIV2K; Wang et al., arXiv:1809.00219",
    model_suffix=".keras",
    write_model=write_model,
    write_data=write_data,
    task="super-resolution(unit)",
    preprocessing=("scale=1/255",),
    notes=("29.4 dB where bicubic resampling has 30.1: compare variants by it, not the model with none",),
)
