"""Odd torch networks through ExecuTorch, TorchScript and .pt2: each converts rightly, or says why not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.needs_torch, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[3]

ODD = ["residual", "depthwise", "inception", "lstm", "gru", "attention", "unet", "two", "tied"]

FLOAT = [f"{name}/{format_}/float32" for name in ODD for format_ in ("pt2", "torchscript")] + [
    f"{name}/executorch/float32" for name in ("residual", "attention", "two")
]
# Their largest error as a share of the outputs' range. An 8-bit step of inputs and of weights alone is 1/255;
# a wrong kernel or a wrong scale is off by the range itself.
INTEGER = {
    "residual/torchscript/int8": 0.05,
    "depthwise/torchscript/int8": 0.05,
    "inception/torchscript/int8": 0.05,
    "lstm/torchscript/int8": 0.05,
    # Normalization to unit variance, then a mean over steps that cancels most of it: what is left is small.
    "attention/torchscript/int8": 0.25,
    "unet/torchscript/int8": 0.1,
    "two/torchscript/int8": 0.1,
    "tied/torchscript/int8": 0.1,
    "residual/torchscript/dynamic": 0.05,
    "lstm/torchscript/dynamic": 0.05,
    "gru/torchscript/dynamic": 0.05,
    "residual/executorch/int8": 0.05,
    "depthwise/executorch/int8": 0.05,
    "unet/executorch/int8": 0.1,
}
KEPT = {
    "residual/torchscript/int8!first|second|head": "residual/torchscript/int8",
    "residual/executorch/int8!second|head": "residual/executorch/int8",
}
REFUSED = {
    "unet/torchscript/dynamic": "quantizes Linear, LSTM and GRU layers dynamically",
    "branching/torchscript/float32": "torch.export can't follow the model",
    "branching/torchscript/int8": "torch can't write the model as TorchScript",
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("torch")
    cases = [*FLOAT, *INTEGER, *KEPT, *REFUSED]
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.converters.make_torch_files", str(folder), *cases],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    loaded: dict[str, dict[str, Any]] = json.loads((folder / "report.json").read_text())
    return loaded


@pytest.mark.parametrize("case", FLOAT)
def test_a_float32_file_computes_what_the_module_does(case: str, report: dict[str, Any]) -> None:
    told = report[case]
    assert told["error"] < 1e-5
    assert told["reference_error"] < 1e-5
    # Constants of its graph beside the weights, at most; batch normalization goes into convolutions.
    assert told["parameters"] == pytest.approx(told["original_parameters"], abs=40) or case.startswith("tied")
    assert 0 < told["non_zero_parameters"] <= told["parameters"]
    assert all(shape[1] == 1 for shape in (*told["inputs"], *told["outputs"]))


@pytest.mark.parametrize("case", INTEGER)
def test_an_integer_file_is_near_what_the_module_computes(case: str, report: dict[str, Any]) -> None:
    told = report[case]
    assert 1e-6 < told["error"] < INTEGER[case]
    assert told["reference_error"] < INTEGER[case]
    assert 0 < told["non_zero_parameters"] <= told["parameters"]


@pytest.mark.parametrize("case", [case for case in (*FLOAT, *INTEGER) if case.startswith("residual")])
def test_the_same_model_gives_the_same_bytes_and_no_folder_of_this_machine(
    case: str, report: dict[str, Any]
) -> None:
    assert report[case]["same_bytes"]
    assert not report[case]["tells_paths"]


@pytest.mark.parametrize("case", KEPT)
def test_layers_to_keep_stay_in_float(case: str, report: dict[str, Any]) -> None:
    assert report[case]["error"] < report[KEPT[case]]["error"]
    assert report[case]["size_bytes"] != report[KEPT[case]]["size_bytes"]
    assert set(report[case]["layers"]) == {"first", "second", "head"}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_way_is_refused_in_one_line(case: str, report: dict[str, Any]) -> None:
    message = report[case]["refused"]
    assert REFUSED[case] in message
    assert "\n" not in message


def test_outputs_keep_their_order(report: dict[str, Any]) -> None:
    for format_ in ("pt2", "torchscript", "executorch"):
        assert report[f"two/{format_}/float32"]["outputs"] == [["float32", 1, 4], ["float32", 1, 2]]
    for format_ in ("pt2", "torchscript"):
        assert report[f"tied/{format_}/float32"]["inputs"] == [["int64", 1, 9]]
