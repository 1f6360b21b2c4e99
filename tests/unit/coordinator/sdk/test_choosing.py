"""Which results a user means by a recipe and a board's name."""

from __future__ import annotations

import pytest

from edgemeter_coordinator.sdk.choosing import chosen
from edgemeter_coordinator.sdk.errors import EdgemeterError
from tests.unit.coordinator.report.responses import full

RESULTS = [
    full(recipe, device=device)
    for device in ("pi-a", "pi-b")
    for recipe in ("float32@tflite", "int8@tflite", "int8@onnx")
]


@pytest.mark.parametrize(
    ("recipe", "device", "found"),
    [
        pytest.param("int8@onnx", None, [("int8@onnx", "pi-a"), ("int8@onnx", "pi-b")], id="on every board"),
        pytest.param("int8@onnx", "pi-b", [("int8@onnx", "pi-b")], id="on one"),
        pytest.param("int8@onnx", "pi-b-id", [("int8@onnx", "pi-b")], id="by the board's id"),
        pytest.param("float32", "pi-a", [("float32@tflite", "pi-a")], id="without the format"),
        pytest.param("id-float32", "pi-a", [("float32@tflite", "pi-a")], id="by the variant's id"),
    ],
)
def test_found(recipe: str, device: str | None, found: list[tuple[str, str]]) -> None:
    assert [(each.manifest.recipe, each.device.name) for each in chosen(RESULTS, recipe, device)] == found


@pytest.mark.parametrize(
    ("recipe", "device", "says"),
    [
        pytest.param("int8", None, "'int8' may be any of int8@onnx, int8@tflite", id="two formats"),
        pytest.param("int4", None, "it has results of float32@tflite, int8@tflite, int8@onnx", id="none"),
        pytest.param("", None, "none of this study's variants", id="nothing"),
        pytest.param("float32", "pi-c", "measured on pi-a, pi-b", id="another board"),
    ],
)
def test_not_found(recipe: str, device: str | None, says: str) -> None:
    with pytest.raises(EdgemeterError, match=says):
        chosen(RESULTS, recipe, device)


def test_a_study_without_results() -> None:
    with pytest.raises(EdgemeterError, match="no results yet"):
        chosen([], "int8")
