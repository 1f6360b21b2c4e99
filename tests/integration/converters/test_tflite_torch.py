"""torch modules to TFLite by litert-torch and ai-edge-quantizer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Under a minute where nothing else runs.
pytestmark = [pytest.mark.timeout(600), pytest.mark.slow, pytest.mark.needs_torch]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tflite-torch")
    cases = Path(__file__).with_name("tflite_torch_cases.py")
    done = subprocess.run(
        [sys.executable, str(cases), str(folder)], capture_output=True, text=True, timeout=580
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "results.json").read_text())


@pytest.mark.parametrize("model", ["residual", "attention", "two", "upsampling", "exported"])
def test_float32_computes_what_the_module_does(model: str, results: Any) -> None:
    assert min(results[model]["float32"]["sqnr"]) > 100


@pytest.mark.parametrize(
    ("case", "decibels"),
    [
        ("float16", 60.0),
        ("dynamic", 40.0),
        ("int8", 30.0),
        ("int8-float-io", 30.0),
        ("int8-keep", 0.0),
        ("int16x8", 40.0),
        ("weight-only-int8", 45.0),
        ("weight-only-int4", 20.0),
        ("w4a8", 20.0),
    ],
)
def test_every_precision_is_near(case: str, decibels: float, results: Any) -> None:
    if case == "int8-keep":
        assert results["residual"][case]["refused"] == (
            "keep=embedding: the model has no such layer; "
            "it has stem, body.0, add_1, transpose_1, mean_1, head"
        )
    else:
        assert min(results["residual"][case]["sqnr"]) > decibels


@pytest.mark.parametrize("case", ["float32", "int8"])
def test_biases_are_vectors(case: str, results: Any) -> None:
    found = results["upsampling"][case]
    assert found["biases"] == [[8], [3]]
    assert min(found["sqnr"]) > 25


def test_the_same_twice(results: Any) -> None:
    for case in ("float32", "int8"):
        assert results["residual"][case]["digest"] == results["residual"][f"{case}-again"]["digest"]


def test_layers_are_named_by_their_paths(results: Any) -> None:
    expected = ["stem", "body.0", "add_1", "transpose_1", "mean_1", "head"]
    residual = results["residual"]
    assert residual["int8"]["layers"] == expected
    for case in ("float32", "int8", "int8-float-io", "w4a8"):
        assert residual[case]["by_layer"] == expected
    assert {"a", "b"} <= set(results["two"]["int8"]["layers"])


def test_layout_and_order_are_the_module_s(results: Any) -> None:
    assert results["residual"]["int8"]["shapes"] == [[1, 3, 8, 8], [1, 5]]
    for case in ("float32", "int8", "int8-float-io", "weight-only-int8"):
        assert results["two"][case]["shapes"] == [[1, 4], [1, 3], [1, 6], [1, 2]]
        assert min(results["two"][case]["sqnr"]) > 15


def test_io_is_as_asked(results: Any) -> None:
    assert results["residual"]["int8"]["inputs"] == results["residual"]["int8"]["outputs"] == ["int8"]
    assert results["residual"]["int8-float-io"]["inputs"] == ["float32"]
    assert results["residual"]["int16x8"]["outputs"] == ["int16"]
    # litert-torch narrows 64-bit indices.
    assert results["attention"]["float32"]["inputs"] == ["int32"]


def test_an_op_without_integers_is_refused_with_how_to_keep_it(results: Any) -> None:
    assert results["attention"]["int8"]["refused"] == (
        "ai-edge-quantizer has no int8 kernel for layer 'embedding' (EMBEDDING_LOOKUP): "
        "leave it in float with int8(keep=embedding)"
    )
    assert min(results["attention"]["int8-keep"]["sqnr"]) > 15


def test_an_op_that_litert_torch_does_not_know_is_refused_by_its_name(results: Any) -> None:
    for case in ("float32", "int8"):
        assert results["no_lowering"][case]["refused"] == (
            "litert-torch can't convert the model: Lowering not found: aten.special_bessel_j0.default"
        )


def test_an_exported_program_quantizes_like_a_module(results: Any) -> None:
    assert min(results["exported"]["int8"]["sqnr"]) > 25
