"""A conversion by edgemeter and by a script that calls the converter itself, in turns: a process of its own.

python converter_turns.py tflite|onnx FOLDER      prints the seconds of each turn as JSON
"""

from __future__ import annotations

import gc
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from edgemeter_protos.v1 import variant_pb2  # noqa: E402

TURNS = {"tflite": 9, "onnx": 5}

PIXELS = variant_pb2.Preprocessing(scale=1 / 255)
CENTRED = variant_pb2.Preprocessing(scale=1 / 255, mean=[0.5], std=[0.5], channels_first=True)
"""What the zoo says of the ResNet and of EfficientNet-lite0."""


def turns(kind: str, folder: Path) -> dict[str, list[float]]:
    """Seconds of each turn, after one of each that is not counted. For a process of its own."""
    from edgemeter_converters import process

    process.prepare()
    ours, peer = {"tflite": _tflite, "onnx": _onnx}[kind](folder)
    times: dict[str, list[float]] = {"converting": [], "building": [], "peer": []}
    for turn in range(TURNS[kind] + 1):
        # Either goes first in half of the turns.
        for who in ("peer", "ours") if turn % 2 else ("ours", "peer"):
            # Converters leave cycles by the hundred thousand, which the next one would have to clear away.
            gc.collect()
            begin = time.perf_counter()
            converting_s = ours() if who == "ours" else peer()
            whole_s = time.perf_counter() - begin
            if turn and who == "ours":
                times["converting"].append(converting_s)
                times["building"].append(whole_s)
            elif turn:
                times["peer"].append(whole_s)
    return times


Timed = tuple[Callable[[], float], Callable[[], Any]]
"""Builds, and says how many seconds of it the converting took; and the script that only converts."""


def _tflite(folder: Path) -> Timed:
    import keras
    import tensorflow as tf

    network = keras.models.load_model(folder / "cifar10-resnet.h5", compile=False)
    with np.load(folder / "cifar10-resnet.npz") as arrays:
        samples = (arrays["x_train"] / 255).astype(np.float32)

    def peer() -> bytes:
        with tempfile.TemporaryDirectory() as saved:
            specs = [keras.InputSpec(shape=(1, 32, 32, 3), dtype="float32")]
            network.export(saved, input_signature=specs, verbose=False)
            converter = tf.lite.TFLiteConverter.from_saved_model(saved)
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([each[None]] for each in samples)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
            return bytes(converter.convert())

    return _builder(folder, "int8@tflite", folder / "cifar10-resnet.h5", "cifar10-resnet.npz", PIXELS), peer


def _onnx(folder: Path) -> Timed:
    import onnx
    import torch
    from onnxruntime import quantization as ort
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from edgemeter_converters import models
    from edgemeter_converters.formats import onnx as ours
    from edgemeter_converters.formats import onnx_integer

    model = folder / "efficientnet-lite0.torchmodule"
    module = models.load(model, model.name).torch
    examples = (torch.zeros(1, 3, 224, 224),)
    with np.load(folder / "efficientnet-lite0.npz") as arrays:
        samples = ((arrays["x_train"] / 255 - 0.5) / 0.5).astype(np.float32).transpose(0, 3, 1, 2)

    class Reader(ort.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(samples)

        def get_next(self) -> dict[str, Any] | None:
            sample = next(self._left, None)
            return None if sample is None else {"input_0": sample[None]}

    def peer() -> int:
        with tempfile.TemporaryDirectory() as name:
            exported, prepared, integer = (str(Path(name, each)) for each in ("a.onnx", "b.onnx", "c.onnx"))
            program = torch.export.export(module, examples)
            names = {"input_names": ["input_0"], "output_names": ["output_0"]}
            torch.onnx.export(
                program,
                (),
                exported,
                dynamo=True,
                opset_version=18,
                external_data=False,
                verbose=False,
                **names,
            )
            quant_pre_process(exported, prepared, skip_symbolic_shape=True)
            ort.quantize_static(
                prepared,
                integer,
                Reader(),
                quant_format=ort.QuantFormat.QDQ,
                per_channel=True,
                activation_type=ort.QuantType.QInt8,
                weight_type=ort.QuantType.QInt8,
            )
            return len(onnx.load(integer).graph.node)

    build = _builder(folder, "int8@onnx", model, "efficientnet-lite0.npz", CENTRED)

    def forgetful() -> float:
        # What a worker keeps for the next variant of the same model would spare it the work.
        ours._graphs.clear()
        onnx_integer._ranges.clear()
        return build()

    return forgetful, peer


def _builder(
    folder: Path, recipe: str, model: Path, data: str, preprocessing: variant_pb2.Preprocessing
) -> Callable[[], float]:
    """Builds the recipe's variant as a worker that has the model loaded does."""
    from edgemeter_converters import messages, worker
    from edgemeter_converters.exchange import SharedFolder

    paths: dict[str, str] = {}

    def blob(path: str | Path) -> str:
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        paths[digest] = str(path)
        return digest

    def exchange(name: str) -> SharedFolder:
        out = folder / recipe / name
        out.mkdir(parents=True)
        return SharedFolder(paths=paths, folder=str(out), checkpoints=str(folder / "checkpoints"))

    dataset = worker.inspect_dataset(
        messages.DatasetRequest(exchange=exchange("data"), digest=blob(folder / data), file_name=data)
    )
    source = messages.ModelSource(
        digest=blob(model),
        file_name=model.name,
        preprocessing=(preprocessing.SerializeToString(),),
    )
    canonical, count = blob(dataset.canonical.path), iter(range(1000))

    def build() -> float:
        variant_id = f"variant-{next(count)}"
        built = worker.build_variant(
            messages.BuildRequest(
                exchange=exchange(variant_id),
                variant_id=variant_id,
                model=source,
                dataset_digest=canonical,
                recipe=recipe,
                start=None,
                stages=(),
                seed=0,
            )
        )
        return variant_pb2.Manifest.FromString(built.manifest).conversion_duration_ns / 1e9

    return build


if __name__ == "__main__":
    print(json.dumps(turns(sys.argv[1], Path(sys.argv[2]))))
