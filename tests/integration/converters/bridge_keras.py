"""Keras models through the bridge: `python -m … FOLDER OUT NAME…` writes OUT, a report.

A conversion worker's process: TensorFlow is its Keras backend, and the bridge's own process has torch.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from edgemeter_converters import process
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats.executorch import ExecuTorch
from edgemeter_converters.formats.format import Encoding
from edgemeter_converters.models import bridge, exported_program, keras
from edgemeter_converters.steps import Precision

SIZE = 12


def main(folder: Path, out: Path, names: list[str]) -> None:
    process.prepare()
    out.write_text(json.dumps({name: of(folder / f"{name}.keras") for name in names}))


def of(path: Path) -> dict[str, Any]:
    model = keras.load(path, path.name)
    shapes = tuple(
        tuple(SIZE if size < 0 else size for size in spec.shape[1:]) for spec in model.signature.inputs
    )
    random = np.random.RandomState(0)
    samples = [
        (random.random_sample((4, *shape)) * 255).astype(spec.dtype)
        for shape, spec in zip(shapes, model.signature.inputs, strict=True)
    ]
    own = keras.predict(model.network, samples)
    with tempfile.TemporaryDirectory() as work_dir:
        try:
            program = bridge.exported_program(model, shapes, Path(work_dir))
        except ConversionError as error:
            return {"refused": error.message}
    told: dict[str, Any] = {
        "error": _error(own, exported_program.predict(program, samples)),
        "inputs": [list(each.shape) for each in program.example_inputs[0]],
        "ops": [str(node.target) for node in program.graph.nodes if node.op == "call_function"],
        "weights": sum(each.numel() for each in program.state_dict.values()),
        "original_weights": model.parameters,
    }
    if path.stem == "patterns":
        told["int8_error"] = _error(own, _int8(model, samples))
    return told


def _int8(model: Any, samples: list[Any]) -> Any:
    format_ = ExecuTorch()
    with tempfile.TemporaryDirectory() as work_dir:
        encoding = Encoding(
            precision=Precision.INT8,
            input_shapes=tuple(each.shape[1:] for each in samples),
            calibration=tuple(samples),
            work_dir=Path(work_dir),
        )
        return format_.open(format_.encode(model, encoding)).run(samples)


def _error(wanted: Any, got: Any) -> float:
    pairs = zip(wanted, got, strict=True)
    return max(float(np.abs(one - two).max() / np.abs(one).max()) for one, two in pairs)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
