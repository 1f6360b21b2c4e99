"""Writes odd torch networks, and one of Keras, as ONNX in every precision: `make_onnx_files.py FOLDER`.

A program of its own, so that torch stays out of the tests' process. For each network there are `NAME.npz`
(its inputs, and the outputs that it gives itself), `NAME.json` (its layers) and, for each encoding, either
`NAME.ENCODING.onnx` or `NAME.ENCODING.refused` with the reason.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats.format import Encoding, Options
from edgemeter_converters.formats.onnx import ONNX
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import Precision
from edgemeter_protos.v1 import variant_pb2

SAMPLES = 24

ENCODINGS = {
    "float32": (Precision.FLOAT32, Options()),
    "float16": (Precision.FLOAT16, Options()),
    "int8": (Precision.INT8, Options()),
    "int8-qoperator": (Precision.INT8, Options(operators="qoperator")),
    "int16x8": (Precision.INT16X8, Options()),
    "dynamic": (Precision.DYNAMIC_INT8, Options()),
    "weight-only-int8": (Precision.WEIGHT_ONLY_INT8, Options()),
    "weight-only-int4": (Precision.WEIGHT_ONLY_INT4, Options()),
}

CALIBRATED = (Precision.INT8, Precision.INT16X8)


class Convolutions(nn.Module):  # type: ignore[misc]
    """Batch normalization, depthwise, grouped and transposed convolutions, a residual addition."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.depth = nn.Conv2d(16, 16, 3, 1, 1, groups=16)
        self.grouped = nn.Conv2d(16, 32, 3, 1, 1, groups=4)
        self.point = nn.Conv2d(32, 16, 1)
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Any) -> Any:
        stem = torch.relu(self.norm(self.stem(x)))
        inner = torch.relu(self.grouped(torch.relu(self.depth(stem))))
        return self.head(torch.relu(self.up(self.point(inner) + stem)).mean((2, 3)))


class Recurrent(nn.Module):  # type: ignore[misc]
    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.rnn = kind(12, 20, batch_first=True, bidirectional=True)
        self.head = nn.Linear(40, 5)

    def forward(self, x: Any) -> Any:
        return self.head(self.rnn(x)[0][:, -1])


class Attending(nn.Module):  # type: ignore[misc]
    """int64 tokens, an embedding, an encoder layer with four heads."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 32)
        self.encoder = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, dropout=0.0)
        self.head = nn.Linear(32, 7)

    def forward(self, tokens: Any) -> Any:
        return self.head(self.encoder(self.embedding(tokens)).mean(1))


class TwoHeads(nn.Module):  # type: ignore[misc]
    """Two inputs and two outputs, none of whose names' order is theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.zulu, self.alpha = nn.Linear(8, 16), nn.Linear(4, 16)
        self.wide, self.narrow = nn.Linear(16, 6), nn.Linear(16, 3)

    def forward(self, zulu: Any, alpha: Any) -> Any:
        hidden = torch.relu(self.zulu(zulu)) * torch.sigmoid(self.alpha(alpha))
        return torch.softmax(self.wide(hidden), -1), self.narrow(hidden)


class Fourier(nn.Module):  # type: ignore[misc]
    def forward(self, x: Any) -> Any:
        return torch.linalg.eigvals(x).abs()


@dataclass(frozen=True, kw_only=True)
class Case:
    network: Callable[[], Any]
    inputs: tuple[NDArray[Any], ...]
    encodings: tuple[str, ...] = tuple(ENCODINGS)


RANDOM = np.random.RandomState(0)


def normal(*shape: int) -> NDArray[np.float32]:
    return RANDOM.standard_normal((SAMPLES, *shape)).astype(np.float32)


CASES = {
    "convolutions": Case(network=Convolutions, inputs=(normal(3, 16, 16),)),
    "lstm": Case(network=lambda: Recurrent(nn.LSTM), inputs=(normal(9, 12),)),
    "gru": Case(
        network=lambda: Recurrent(nn.GRU),
        inputs=(normal(9, 12),),
        encodings=("float32", "dynamic", "weight-only-int8"),
    ),
    "attending": Case(network=Attending, inputs=(RANDOM.randint(0, 50, (SAMPLES, 6)),)),
    "two-heads": Case(network=TwoHeads, inputs=(normal(8), normal(4))),
    "eigenvalues": Case(network=Fourier, inputs=(normal(4, 4),), encodings=("float32",)),
}


def spec(name: str, array: NDArray[Any]) -> variant_pb2.TensorSpec:
    return variant_pb2.TensorSpec(name=name, dtype=array.dtype.name, shape=[-1, *array.shape[1:]])


def loaded(framework: str, network: Any, inputs: Any, outputs: Any) -> LoadedModel:
    return LoadedModel(
        framework=framework,
        network=network,
        signature=variant_pb2.Signature(
            inputs=[spec(f"in{at}", array) for at, array in enumerate(inputs)],
            outputs=[spec(f"out{at}", array) for at, array in enumerate(outputs)],
        ),
        parameters=0,
    )


def of_torch(case: Case) -> tuple[LoadedModel, tuple[NDArray[Any], ...]]:
    torch.manual_seed(1)
    network = case.network().eval()
    with torch.no_grad():
        given = network(*map(torch.from_numpy, case.inputs))
    outputs = tuple(each.numpy() for each in (given if isinstance(given, tuple) else (given,)))
    return loaded("torch", network, case.inputs, outputs), outputs


def of_keras(inputs: tuple[NDArray[Any], ...]) -> tuple[LoadedModel, tuple[NDArray[Any], ...]]:
    import keras

    keras.utils.set_random_seed(3)
    layers = keras.layers
    image = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(image)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Add()([x, layers.DepthwiseConv2D(3, padding="same")(x)])
    network = keras.Model(image, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))
    outputs = (keras.ops.convert_to_numpy(network(inputs[0], training=False)),)
    return loaded("keras", network, inputs, outputs), outputs


def write(
    folder: Path,
    name: str,
    model: LoadedModel,
    inputs: tuple[NDArray[Any], ...],
    outputs: tuple[NDArray[Any], ...],
    encodings: tuple[str, ...],
) -> None:
    arrays: dict[str, Any] = {f"input_{at}": array for at, array in enumerate(inputs)}
    arrays |= {f"output_{at}": array for at, array in enumerate(outputs)}
    np.savez(folder / f"{name}.npz", **arrays)
    format_ = ONNX()
    layers: dict[str, tuple[str, ...]] = {}
    for title in encodings:
        precision, options = ENCODINGS[title]
        with tempfile.TemporaryDirectory() as work_dir:
            encoding = Encoding(
                precision=precision,
                options=options,
                input_shapes=tuple(array.shape[1:] for array in inputs),
                calibration=inputs if precision in CALIBRATED else (),
                work_dir=Path(work_dir),
            )
            try:
                content = format_.encode(model, encoding)
                layers[title] = format_.layers(model, encoding)
            except ConversionError as error:
                (folder / f"{name}.{title}.refused").write_text(error.message)
            else:
                (folder / f"{name}.{title}.onnx").write_bytes(content)
    (folder / f"{name}.json").write_text(json.dumps(layers))


def main(folder: Path) -> None:
    for name, case in CASES.items():
        model, outputs = of_torch(case)
        write(folder, name, model, case.inputs, outputs, case.encodings)
    images = (normal(12, 12, 3),)
    model, outputs = of_keras(images)
    write(folder, "keras", model, images, outputs, ("float32", "int8"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
