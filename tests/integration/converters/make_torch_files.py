"""Converts small torch networks and tells what came of it: `python -m … FOLDER CASE…`.

A CASE is network/format/precision. A program of its own, so that torch stays out of the tests' process.
Writes FOLDER/report.json, the artifacts, and each network's inputs and own outputs, NETWORK.npz.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats.executorch import ExecuTorch
from edgemeter_converters.formats.format import Encoding, Format, Options
from edgemeter_converters.formats.pt2 import PT2
from edgemeter_converters.formats.torchscript import TorchScript
from edgemeter_converters.models import torch_module
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import Precision
from tests.integration.converters import torch_networks

FORMATS: dict[str, Format] = {"pt2": PT2(), "torchscript": TorchScript(), "executorch": ExecuTorch()}
SAMPLES = 6


def main(folder: Path, cases: list[str]) -> None:
    report = {}
    for case in cases:
        name, format_name, precision = case.split("/")
        # "int8!conv1|head" keeps those layers in float.
        precision, _, kept = precision.partition("!")
        options = Options(keep=tuple(kept.split("|")) if kept else ())
        model = torch_module.loaded(torch_networks.network(name), name, inputs=torch_networks.specs(name))
        report[case] = of(folder, model, name, format_name, Precision(precision), options)
    (folder / "report.json").write_text(json.dumps(report))


def of(
    folder: Path, model: LoadedModel, name: str, format_name: str, precision: Precision, options: Options
) -> dict[str, Any]:
    format_ = FORMATS[format_name]
    samples = torch_networks.inputs(name, SAMPLES, seed=3)
    own = torch_module.predict(model.network, samples)
    arrays = {f"input_{at}": each for at, each in enumerate(samples)}
    arrays |= {f"output_{at}": each for at, each in enumerate(own)}
    np.savez(folder / f"{name}.npz", allow_pickle=False, **arrays)
    contents: list[bytes] = []
    layers: tuple[str, ...] = ()
    # Twice for one network: converting is what these tests take their time for.
    for _ in range(2 if name == "residual" else 1):
        with tempfile.TemporaryDirectory() as work_dir:
            encoding = Encoding(
                precision=precision,
                options=options,
                input_shapes=tuple(each.shape[1:] for each in samples),
                calibration=torch_networks.inputs(name, 24, seed=5) if precision is Precision.INT8 else (),
                work_dir=Path(work_dir),
            )
            try:
                layers = format_.layers(model, encoding)
                contents.append(format_.encode(model, encoding))
            except ConversionError as error:
                return {"refused": error.message}
    artifact = format_.open(contents[0])
    outputs = artifact.run(samples)
    (folder / f"{name}-{precision.value}{format_.suffix}").write_bytes(contents[0])
    return {
        "same_bytes": contents[0] == contents[-1],
        "size_bytes": len(contents[0]),
        "error": error_share(own, outputs),
        "reference_error": error_share(outputs, artifact.run_reference(samples)),
        "parameters": artifact.parameters,
        "non_zero_parameters": artifact.non_zero_parameters,
        "original_parameters": model.parameters,
        "layers": layers,
        "inputs": [[spec.dtype, *spec.shape] for spec in artifact.signature.inputs],
        "outputs": [[spec.dtype, *spec.shape] for spec in artifact.signature.outputs],
        "tells_paths": str(Path.cwd()).encode() in contents[0] or b"site-packages" in contents[0],
    }


def error_share(wanted: Sequence[NDArray[Any]], got: Sequence[NDArray[Any]]) -> float:
    """The largest difference as a share of the outputs' range."""
    return max(
        float(np.abs(one - two).max() / np.abs(one).max()) for one, two in zip(wanted, got, strict=True)
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
