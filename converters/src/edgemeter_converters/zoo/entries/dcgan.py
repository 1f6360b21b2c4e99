"""A DCGAN that makes faces: a torch module, and latents that stay the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgemeter_converters.zoo import torch_files
from edgemeter_converters.zoo.entry import GENERATIVE, Entry
from edgemeter_converters.zoo.packages import Source, fetch

SOURCE = Source(
    package="gan-face-generate==1.1.1",
    members=("*/weights.tar",),
    sha256="a12de175129b8314e2c895c41fdb5ab138f851421a9b81ab0c83ede20692956d",
    size_mb=13.3,
)
LATENTS, TRAINING, EVALUATION, SEED = 100, 200, 256, 1


def write_model(path: Path) -> Path:
    """A .torchmodule of `nets.dcgan:net`, with the package's weights. Raises FetchError."""
    import torch

    (weights,) = fetch(SOURCE).values()
    trained = torch.load(weights, map_location="cpu", weights_only=True)["netG_state_dict"]
    return torch_files.write_module(path, "edgemeter_converters.zoo.nets.dcgan:net", trained.values())


def write_data(path: Path) -> Path:
    """An .npz: `x_train` (200, 100, 1, 1) and `x_test` (256, …), float32: normally distributed, as the
    generator was trained; the same ones each time."""
    # RandomState: its stream is frozen for good (NEP 19).
    latents = np.random.RandomState(SEED).standard_normal((TRAINING + EVALUATION, LATENTS, 1, 1))
    latents = latents.astype(np.float32)
    np.savez(path, allow_pickle=False, x_train=latents[:TRAINING], x_test=latents[TRAINING:])
    return path


ENTRY = Entry(
    name="dcgan",
    application=GENERATIVE,
    summary="DCGAN's generator of faces, 64 x 64 pixels, 3.58 M parameters (torch)",
    sources=(SOURCE,),
    licence="MIT",
    origin="gan-face-generate 1.1.1, trained with DigiFace-1M; Radford et al., arXiv:1511.06434",
    model_suffix=".torchmodule",
    write_model=write_model,
    write_data=write_data,
    task="generative(symmetric)",
    notes=("judged by how much its pictures of the same latents change: no real faces are at hand",),
)
