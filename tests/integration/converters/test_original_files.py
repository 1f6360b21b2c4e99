"""SavedModels and .tflite files as originals: loaded safely, run, converted, measured as they are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgemeter_protos.v1 import refusal_pb2

# Under a minute where nothing else runs.
pytestmark = [pytest.mark.timeout(600), pytest.mark.slow, pytest.mark.needs_tensorflow]

UNSAFE, NOT_A_MODEL = refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL, refusal_pb2.REFUSAL_REASON_NOT_A_MODEL


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("originals")
    cases = Path(__file__).with_name("original_files_cases.py")
    done = subprocess.run(
        [sys.executable, str(cases), str(folder)], capture_output=True, text=True, timeout=580
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "results.json").read_text())


def test_a_saved_model_s_signature_is_in_the_order_of_names(results: Any) -> None:
    found = results["exported"]
    assert found["names"] == [["alpha", "zulu"], ["narrow", "wide"]]
    assert found["shapes"] == [[-1, 3], [-1, 4], [-1, 2], [-1, 6]]


def test_a_saved_model_computes_what_its_network_does(results: Any) -> None:
    found = results["exported"]
    assert found["predict"] < 1e-5
    assert found["float32"] < 1e-5
    assert found["int8"] < 0.1
    assert found["w4a8"] < 0.3


def test_a_saved_model_is_counted(results: Any) -> None:
    found = results["exported"]
    assert found["parameters"] == [97, 97]
    assert found["macs"] == 4 * 5 + 8 * 6 + 8 * 2
    assert ["FULLY_CONNECTED", 3] in [each[:2] for each in found["kinds"]]


def test_what_was_unpacked_goes_with_the_model(results: Any) -> None:
    assert results["unpacked"] == [True, False]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("read", "read.zip: op ReadFile (node 'ReadFile') is not one of those that only compute"),
        ("write", "write.zip: op WriteFile"),
        ("call_python", "call_python.zip: op EagerPyFunc"),
        ("say", "say.zip: op PrintV2"),
        ("table", "table.zip: it brings a resource"),
    ],
)
def test_a_graph_that_touches_the_machine_is_refused(case: str, message: str, results: Any) -> None:
    found, reason = results["unsafe"][case]
    assert found.startswith(message)
    assert reason == UNSAFE


def test_nothing_of_a_refused_graph_ran(results: Any) -> None:
    assert results["unsafe"]["written"] is False


def test_a_graph_that_only_computes_is_taken(results: Any) -> None:
    assert results["unsafe"]["compute"] == []


def test_a_saved_model_without_the_usual_signature_is_refused(results: Any) -> None:
    message, reason = results["unsafe"]["another_signature"]
    assert message == "another.zip: it has no signature 'serving_default': save it with model.export"
    assert reason == NOT_A_MODEL


@pytest.mark.parametrize(
    ("precision", "bound"), [("float32", 1e-5), ("int8", 0.1), ("weight-only-int8", 0.05), ("w4a8", 0.3)]
)
def test_a_tflite_file_is_an_original(precision: str, bound: float, results: Any) -> None:
    found = results["files"][precision]
    assert found["precision"] == precision
    # Real numbers, whatever the file stores.
    assert found["inputs"] == ["float32", "float32"]
    assert found["shapes"] == [[1, 3], [1, 4], [1, 2], [1, 6]]
    assert found["macs"] == 4 * 5 + 8 * 6 + 8 * 2
    assert found["predict"] < bound
    assert found["as_it_is"] is True


def test_a_float_tflite_file_is_compressed(results: Any) -> None:
    found = results["files"]["float32"]["as"]
    assert found["float16"] < 1e-2
    assert found["int8"] < 0.1
    assert found["weight-only-int4"] < 0.3


def test_a_quantized_tflite_file_is_measured_as_it_is_or_not_at_all(results: Any) -> None:
    for precision in ("int8", "w4a8"):
        assert results["files"][precision]["as"]["float16"] == (
            f"the file is {precision} already, and only float32 ones are compressed: "
            f"{precision}@tflite measures it as it is"
        )


@pytest.mark.parametrize(
    ("case", "message", "reason"),
    [
        ("text", "text.tflite: it is no TensorFlow Lite file", NOT_A_MODEL),
        ("cut", "cut.tflite: it is no whole TensorFlow Lite file", NOT_A_MODEL),
        ("custom", "custom.tflite: layer 'erfinv_1' is the custom op Erfinv, whose code is not part", UNSAFE),
    ],
)
def test_what_is_no_harmless_tflite_file_is_refused(
    case: str, message: str, reason: int, results: Any
) -> None:
    found = results["files"][case]
    assert found[0].startswith(message)
    assert found[1] == reason
