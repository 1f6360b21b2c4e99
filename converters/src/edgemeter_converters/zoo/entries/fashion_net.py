"""A small residual net trained here on Fashion-MNIST: where fine-tuning has data to be judged by."""

from __future__ import annotations

from pathlib import Path

from edgemeter_converters.zoo import fashion
from edgemeter_converters.zoo.entry import IMAGE_CLASSIFICATION, Entry


def write_model(path: Path) -> Path:
    """A .keras file, trained for two to three minutes. Raises FetchError."""
    from edgemeter_converters.zoo.nets import fashion as net

    net.train(fashion.arrays(), path)
    return path


ENTRY = Entry(
    name="fashion-net",
    application=IMAGE_CLASSIFICATION,
    summary="a residual net trained here on Fashion-MNIST, 28 x 28 pixels, 168 thousand parameters (Keras)",
    sources=(fashion.SOURCE,),
    licence="Expat (data); trained here",
    origin="Debian's dataset-fashion-mnist; Xiao et al., arXiv:1708.07747",
    model_suffix=".keras",
    write_model=write_model,
    write_data=fashion.write,
    task="classification",
    notes=("60,000 pictures to train with, 10,000 to evaluate: here fine-tuning has data",),
)
