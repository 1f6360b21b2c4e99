"""How long a conversion will take."""

from __future__ import annotations

import pytest

from edgemeter_coordinator.conversion.history import MOST_SCALE, Past, Work, estimate_ns


def work(text: str, model: str = "m", parameters: int = 1000) -> Work:
    return Work(text=text, model_digest=model, parameters=parameters)


def past(text: str, duration_ns: int, model: str = "m", parameters: int = 1000) -> Past:
    return Past(work=work(text, model, parameters), duration_ns=duration_ns)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        pytest.param([], None, id="nothing is known"),
        pytest.param([past("prune(0.5)", 10)], None, id="nothing like it is known"),
        pytest.param([past("int8@onnx", 10)], None, id="another format is not like it"),
        pytest.param(
            [past("int8@tflite", 10), past("int8@tflite", 30), past("int8@tflite", 50)], 30, id="the median"
        ),
        pytest.param(
            [past("int8@tflite", 10), past("int8@tflite", 90, model="o")], 10, id="the same model counts more"
        ),
        pytest.param(
            [past("int8(per_tensor)@tflite", 40), past("int8@tflite", 80, model="o", parameters=2000)],
            40,
            id="the same arguments count more, scaled by parameters",
        ),
        pytest.param([past("int8(per_tensor)@tflite", 40)], 40, id="other arguments are better than nothing"),
        pytest.param(
            [past("int8@tflite", 40, model="o", parameters=1)],
            40 * MOST_SCALE,
            id="a tool's start does not grow with the model",
        ),
        pytest.param(
            [past("int8@tflite", 40, model="o", parameters=0)], 40, id="a model of unknown size is as large"
        ),
    ],
)
def test_estimate(history: list[Past], expected: float | None) -> None:
    assert estimate_ns(work("int8@tflite"), history) == expected


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("prune(0.5)", "prune"),
        ("prune(2:4, epochs=3)", "prune"),
        ("int8@tflite", "int8@tflite"),
        ("int8(keep=a)@onnx", "int8@onnx"),
    ],
)
def test_kind(text: str, kind: str) -> None:
    assert work(text).kind == kind
