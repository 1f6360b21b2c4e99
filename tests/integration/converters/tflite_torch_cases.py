"""Takes torch modules to TFLite and writes down what came of it: `tflite_torch_cases.py FOLDER`.

A program of its own, so that torch stays out of the tests' process.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgemeter_converters import process
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats import Encoding, Options
from edgemeter_converters.formats.tflite import TFLite
from edgemeter_converters.models import tflite_graph, torch_module
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import Precision
from edgemeter_protos.v1 import variant_pb2


class Residual(nn.Module):  # type: ignore[misc]
    """Channels first; a residual add around a depthwise convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU6())
        self.head = nn.Linear(8, 5)

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.norm(self.stem(x)))
        return self.head((x + self.body(x)).mean((2, 3)))


class Attention(nn.Module):  # type: ignore[misc]
    """64-bit indices in."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 16)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Any) -> Any:
        x = self.embedding(x)
        x = self.norm(x + self.attention(x, x, x, need_weights=False)[0])
        return self.head(nn.functional.gelu(x).mean(1))


class Two(nn.Module):  # type: ignore[misc]
    """Neither inputs nor outputs are in their names' order."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 6)
        self.b = nn.Linear(3, 2)

    def forward(self, zulu: Any, alpha: Any) -> Any:
        wide = self.a(zulu)
        return {"wide": wide, "narrow": self.b(alpha) + wide[:, :2]}


class Upsampling(nn.Module):  # type: ignore[misc]
    """A transposed convolution whose normalization the converter folds into it."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(6, 8, 4, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        # As training leaves it: without, the converter folds it another way.
        nn.init.uniform_(self.norm.weight, 0.5, 2)
        nn.init.normal_(self.norm.get_buffer("running_mean"))
        nn.init.uniform_(self.norm.get_buffer("running_var"), 0.5, 2)
        self.out = nn.ConvTranspose2d(8, 3, 4, 2, 1)

    def forward(self, x: Any) -> Any:
        return torch.tanh(self.out(torch.relu(self.norm(self.up(x)))))


class NoLowering(nn.Module):  # type: ignore[misc]
    def forward(self, x: Any) -> Any:
        return torch.special.bessel_j0(x)


MODELS: dict[str, tuple[Any, list[tuple[str, str, tuple[int, ...]]]]] = {
    "residual": (Residual, [("x", "float32", (3, 8, 8))]),
    "attention": (Attention, [("x", "int64", (7,))]),
    "two": (Two, [("zulu", "float32", (4,)), ("alpha", "float32", (3,))]),
    "upsampling": (Upsampling, [("x", "float32", (6, 4, 4))]),
    "no_lowering": (NoLowering, [("x", "float32", (3,))]),
}

CASES = {
    "float32": (Precision.FLOAT32, Options()),
    "float32-again": (Precision.FLOAT32, Options()),
    "float16": (Precision.FLOAT16, Options()),
    "dynamic": (Precision.DYNAMIC_INT8, Options()),
    "int8": (Precision.INT8, Options()),
    "int8-again": (Precision.INT8, Options()),
    "int8-float-io": (Precision.INT8, Options(io="float")),
    "int8-keep": (Precision.INT8, Options(keep=("embedding", "head"))),
    "int16x8": (Precision.INT16X8, Options()),
    "weight-only-int8": (Precision.WEIGHT_ONLY_INT8, Options()),
    "weight-only-int4": (Precision.WEIGHT_ONLY_INT4, Options()),
    "w4a8": (Precision.W4A8, Options()),
}


def sqnr(expected: Any, actual: Any) -> float:
    """Signal to quantization noise, dB; 200 where there is no noise."""
    noise = float(((expected - actual) ** 2).sum())
    return 200.0 if noise == 0 else float(10 * np.log10((expected**2).sum() / noise))


def samples(model: LoadedModel, count: int) -> tuple[Any, ...]:
    random = np.random.RandomState(5)
    return tuple(
        random.randint(0, 20, (count, *each.shape[1:]))
        if each.dtype == "int64"
        else random.standard_normal((count, *each.shape[1:])).astype(np.float32)
        for each in model.signature.inputs
    )


def study(model: LoadedModel, module: Any, cases: dict[str, Any]) -> dict[str, Any]:
    every = samples(model, 60)
    calibration, inputs = tuple(each[:40] for each in every), tuple(each[40:] for each in every)
    expected = torch_module.predict(module, inputs)
    found: dict[str, Any] = {}
    for name, (precision, options) in cases.items():
        # A new one each time: it keeps the last float32 file.
        format_ = TFLite()
        with tempfile.TemporaryDirectory() as work_dir:
            encoding = Encoding(
                precision=precision,
                options=options,
                input_shapes=tuple(tuple(each.shape[1:]) for each in model.signature.inputs),
                calibration=calibration,
                work_dir=Path(work_dir),
            )
            try:
                content = format_.encode(model, encoding)
            except ConversionError as error:
                found[name] = {"refused": error.message}
                continue
            graph = tflite_graph.read(content)[0]
            artifact = format_.open(content)
            found[name] = {
                "sqnr": [sqnr(*pair) for pair in zip(expected, artifact.run(inputs), strict=True)],
                "inputs": [each.dtype for each in artifact.signature.inputs],
                "outputs": [each.dtype for each in artifact.signature.outputs],
                "shapes": [list(e.shape) for e in (*artifact.signature.inputs, *artifact.signature.outputs)],
                "digest": hashlib.sha256(content).hexdigest(),
                "layers": list(format_.layers(model, encoding)),
                "by_layer": list(artifact.run_layers(inputs)),
                "dtypes": sorted({each.dtype for each in graph.tensors}),
                "biases": [
                    list(graph.tensors[op.inputs[3]].shape) for op in graph.ops if op.kind == "TRANSPOSE_CONV"
                ],
            }
    return found


def exported() -> tuple[LoadedModel, Any]:
    """A program with a free batch, from samples of two."""
    module = Residual().eval()
    program = torch.export.export(
        module, (torch.rand(2, 3, 8, 8),), dynamic_shapes=({0: torch.export.Dim("batch")},)
    )
    signature = variant_pb2.Signature(
        inputs=[variant_pb2.TensorSpec(name="x", dtype="float32", shape=[-1, 3, 8, 8])],
        outputs=[variant_pb2.TensorSpec(name="output", dtype="float32", shape=[-1, 5])],
    )
    model = LoadedModel(framework="exported_program", network=program, signature=signature, parameters=0)
    return model, module


def main(folder: Path) -> None:
    process.prepare()
    torch.manual_seed(2)
    results = {}
    for name, (kind, inputs) in MODELS.items():
        module = kind()
        specs = [
            variant_pb2.TensorSpec(name=each, dtype=dtype, shape=[-1, *shape])
            for each, dtype, shape in inputs
        ]
        model = torch_module.loaded(module, f"{name}.py", inputs=specs)
        results[name] = study(model, module, {each: CASES[each] for each in WANTED.get(name, FEW)})
    model, module = exported()
    results["exported"] = study(model, module, {each: CASES[each] for each in ("float32", "int8")})
    (folder / "results.json").write_text(json.dumps(results))


FEW = ("float32", "int8", "int8-float-io", "int8-keep", "weight-only-int8")
WANTED = {"residual": tuple(CASES), "upsampling": ("float32", "int8")}
"""Of those models of which not FEW are."""

if __name__ == "__main__":
    main(Path(sys.argv[1]))
