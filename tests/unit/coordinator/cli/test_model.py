"""What suits a model, as few lines as say it."""

from __future__ import annotations

from edgemeter_coordinator.cli.model import grouped
from edgemeter_protos.v1 import lab_pb2


def answer(recipe: str, reason: str = "") -> lab_pb2.Applicability:
    return lab_pb2.Applicability(recipe=recipe, reason=reason)


def test_formats_with_the_same_answer_share_a_line() -> None:
    answers = [
        answer("int8@tflite", "needs calibration samples"),
        answer("int8@onnx", "needs calibration samples"),
        answer("int8@pt2", "no encoding"),
        answer("prune(0.5)", "takes a Keras model"),
    ]
    assert grouped(answers) == [
        ("int8", "tflite, onnx", "needs calibration samples"),
        ("int8", "pt2", "no encoding"),
        ("prune(0.5)", "", "takes a Keras model"),
    ]
