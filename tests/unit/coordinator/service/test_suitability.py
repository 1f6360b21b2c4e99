"""Recipes that don't suit a model or its data are refused before anything is built."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgemeter_coordinator.refusal import Refused
from edgemeter_coordinator.service.suitability import MAX_RECIPES, check_data, read_recipes
from edgemeter_coordinator.store.datasets import DatasetRow
from edgemeter_coordinator.store.models import ModelRow
from edgemeter_protos.v1 import lab_pb2, refusal_pb2, variant_pb2

Reason = refusal_pb2.RefusalReason


def spec(*shape: int) -> variant_pb2.TensorSpec:
    return variant_pb2.TensorSpec(name="x", dtype="float32", shape=shape)


MODEL = ModelRow(
    digest="m",
    name="net",
    file_name="net.keras",
    framework="keras",
    task="classification",
    size_bytes=1,
    parameters=1,
    signature=variant_pb2.Signature(inputs=[spec(-1, 3, 8, 8)], outputs=[spec(-1, 10)]),
    added_at_ms=0,
    function="",
    inputs=(),
    description=lab_pb2.Model(preprocessing=[variant_pb2.Preprocessing(channels_first=True)]),
)


def data(training: int = 10, calibration: int = 10, classes: int = 10) -> DatasetRow:
    counts = {"training": training, "calibration": calibration, "evaluation": 5}
    return DatasetRow(
        digest="d",
        name="digits",
        file_name="digits.npz",
        size_bytes=1,
        description=lab_pb2.Dataset(
            splits=[lab_pb2.Split(name=name, samples=samples) for name, samples in counts.items()],
            inputs=[spec(8, 8, 3)],
            classes=classes,
        ),
        calibration_digest="c",
        evaluation_digest="e",
        evaluation_inputs_blob=None,
        evaluation_labels_blob=None,
        added_at_ms=0,
        canonical_blob="d",
        training_digest="t",
    )


def refusal(model: ModelRow, dataset: DatasetRow, *recipes: str) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        check_data(model, dataset, read_recipes(recipes, model.framework, {}))
    return Reason.Name(caught.value.reason).removeprefix("REFUSAL_REASON_"), caught.value.message


def test_data_fits_after_preprocessing() -> None:
    check_data(MODEL, data(), read_recipes(["float32", "int8", "prune(0.5)"], "keras", {}))


def test_data_that_does_not_fit_is_named_with_the_model() -> None:
    reason, said = refusal(replace(MODEL, description=None), data(), "float32")
    assert reason == "SHAPE_MISMATCH"
    assert said.startswith("digits does not fit net: ")


@pytest.mark.parametrize(
    ("recipe", "dataset", "said"),
    [
        ("prune(0.5)", data(training=0), "prune(0.5)@tflite needs training samples, and digits has none"),
        ("int8", data(calibration=0), "int8@tflite needs calibration samples, and digits has none"),
        ("prune(0.5)", data(classes=1), "needs training samples of several classes"),
    ],
)
def test_what_a_recipe_looks_at_has_to_be_there(recipe: str, dataset: DatasetRow, said: str) -> None:
    reason, message = refusal(MODEL, dataset, "float32", recipe)
    assert reason == "BAD_REQUEST"
    assert said in message


def test_what_no_recipe_looks_at_may_be_missing() -> None:
    read = read_recipes(["float32", "prune(0.5,epochs=0)"], "keras", {})
    check_data(MODEL, data(training=0, calibration=0), read)


@pytest.mark.parametrize(
    ("framework", "texts", "reason", "said"),
    [
        ("onnx", ["prune(0.5)"], "UNKNOWN_RECIPE", "prune(0.5)@onnx can't be carried out: 'prune' changes"),
        ("keras", ["int9"], "UNKNOWN_RECIPE", "did you mean"),
        ("keras", [], "BAD_REQUEST", "0 recipes"),
        ("keras", ["float32"] * (MAX_RECIPES + 1), "BAD_REQUEST", "recipes are named"),
        ("keras", ["int8", "int8@tflite"], "BAD_REQUEST", "twice"),
        ("torchscript", ["float32", "float32@torchscript"], "BAD_REQUEST", "twice"),
    ],
)
def test_bad_recipes(framework: str, texts: list[str], reason: str, said: str) -> None:
    with pytest.raises(Refused) as caught:
        read_recipes(texts, framework, {})
    assert Reason.Name(caught.value.reason) == f"REFUSAL_REASON_{reason}"
    assert said in caught.value.message


def test_tools_are_those_of_the_workers() -> None:
    (read,) = read_recipes(["prune(0.5)"], "keras", {"keras": "9.9", "tensorflow-cpu": "8.8"})
    assert read.tool_versions["keras"] == "9.9"
    assert read.tool_versions["tensorflow"] == "8.8"
