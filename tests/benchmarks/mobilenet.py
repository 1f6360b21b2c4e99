"""Writes MobileNetV2 as a float32 .tflite: python mobilenet.py SIDE FILE. Its weights are random, which costs
the same time as trained ones."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path


def write(side: int, target: Path) -> Path:
    """In a process of its own, so that no benchmark holds TensorFlow in memory."""
    done = subprocess.run([sys.executable, __file__, str(side), target], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return target


def main(side: int, target: Path) -> None:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    model = keras.applications.MobileNetV2((side, side, 3), weights=None, classes=1000)
    with tempfile.TemporaryDirectory() as saved:
        model.export(saved, verbose=False)
        target.write_bytes(tf.lite.TFLiteConverter.from_saved_model(saved).convert())


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
