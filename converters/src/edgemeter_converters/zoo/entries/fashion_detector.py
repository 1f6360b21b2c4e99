"""A small detector trained here on canvases of Fashion-MNIST: boxes are exact, so that its mAP is real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.zoo import canvases, fashion
from edgemeter_converters.zoo.entry import OBJECT_DETECTION, Entry

TRAINING, EVALUATION = 10_000, 1_000
SEEDS = {"train": 1, "test": 2}


def write_model(path: Path) -> Path:
    """A .keras file, trained for three minutes. Raises FetchError."""
    from edgemeter_converters.zoo.nets import fashion_detector

    arrays = fashion.arrays()
    fashion_detector.train(
        *canvases.compose(arrays["x_train"], arrays["y_train"], TRAINING, SEEDS["train"]), path
    )
    return path


def write_data(path: Path) -> Path:
    """An .npz: `x_train` (10000, 96, 96, 1) uint8 with `y_train` (10000, 4, 5), `x_test` (1000, …) with
    `y_test`, of Fashion-MNIST's own splits. Raises FetchError."""
    arrays = fashion.arrays()
    made: dict[str, NDArray[Any]] = {}
    for split, count in (("train", TRAINING), ("test", EVALUATION)):
        x, y = canvases.compose(arrays[f"x_{split}"], arrays[f"y_{split}"], count, SEEDS[split])
        made |= {f"x_{split}": x, f"y_{split}": y}
    np.savez_compressed(path, allow_pickle=False, **made)
    return path


ENTRY = Entry(
    name="fashion-detector",
    application=OBJECT_DETECTION,
    summary="a detector trained here on canvases of clothes, 96 x 96 pixels, 136 thousand parameters (Keras)",
    sources=(fashion.SOURCE,),
    licence="Expat (data); trained here",
    origin="Debian's dataset-fashion-mnist; Xiao et al., arXiv:1708.07747",
    model_suffix=".keras",
    write_model=write_model,
    write_data=write_data,
    task="detection(grid, classes=10)",
    notes=("real boxes, of composed pictures: far easier than photographs",),
)
