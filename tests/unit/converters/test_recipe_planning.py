from __future__ import annotations

import dataclasses
import pickle
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_converters import recipes
from edgemeter_converters.recipes import Recipe, RecipeError, planning
from edgemeter_converters.steps import STEPS, Precision, Step
from edgemeter_protos.v1 import refusal_pb2


@given(st.sampled_from(sorted(STEPS)), st.sampled_from(["", "@tflite", " @ TFLITE "]), st.booleans())
def test_canonical_text_parses_to_the_same_recipe(step: str, format_: str, shouted: bool) -> None:
    recipe = recipes.parse((step.upper() if shouted else step) + format_)
    assert str(recipe) == f"{step}@tflite"
    assert recipes.parse(str(recipe)) == recipe


@given(st.text(alphabet="intfloadymcx0123468 +@()", max_size=30))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        outcome: Recipe | int = recipes.parse(text)
    except RecipeError as error:
        outcome = error.reason
    assert isinstance(outcome, Recipe) or outcome == refusal_pb2.REFUSAL_REASON_UNKNOWN_RECIPE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "int9",
            "unknown recipe 'int9': did you mean 'int8'? Known: dynamic, float16, float32, int16x8, int8",
            id="nearest step",
        ),
        pytest.param(
            "quux",
            "unknown recipe 'quux': Known: dynamic, float16, float32, int16x8, int8",
            id="nothing near",
        ),
        pytest.param(
            "int8@tflit", "unknown format 'tflit': did you mean 'tflite'? Known: tflite", id="nearest format"
        ),
        pytest.param(
            "int8(3)",
            "'int8(3)': 'int8' takes no arguments; write 'int8'",
            id="arguments that it does not take",
        ),
        pytest.param(
            "int8+float16",
            "'int8' and 'float16' can't be combined: "
            "each says how the model is encoded; keep one, as the last step",
            id="two encodings",
        ),
        pytest.param(
            "int8+fold", "'int8' says how the model is encoded: it has to be the last step", id="not last"
        ),
    ],
)
def test_refuses(text: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "fold" in text:
        _add_step(monkeypatch, FOLD)
    with pytest.raises(RecipeError) as refused:
        recipes.parse(text)
    assert str(refused.value) == message


# A step that only changes the model, as pruning will.
FOLD = Step(name="fold", summary="Folds.", natural_format="tflite", precision=None, needs_calibration=True)


def _add_step(monkeypatch: pytest.MonkeyPatch, step: Step) -> None:
    monkeypatch.setattr(planning, "STEPS", MappingProxyType({**STEPS, step.name: step}))


@pytest.mark.parametrize(
    ("text", "canonical", "precision", "calibrates"),
    [
        pytest.param("fold", "fold@tflite", Precision.FLOAT32, True, id="float32 where no step says"),
        pytest.param(
            "fold+dynamic", "fold+dynamic@tflite", Precision.DYNAMIC_INT8, True, id="last step says"
        ),
        pytest.param("dynamic", "dynamic@tflite", Precision.DYNAMIC_INT8, False, id="alone"),
    ],
)
def test_steps_that_change_the_model_come_before_the_encoding(
    text: str, canonical: str, precision: Precision, calibrates: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add_step(monkeypatch, FOLD)
    recipe = recipes.parse(text)
    assert (str(recipe), recipes.precision(recipe), recipes.needs_calibration(recipe)) == (
        canonical,
        precision,
        calibrates,
    )


def test_a_format_without_the_encoding_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Paper:
        name = "paper"
        precisions = frozenset({Precision.FLOAT32})

    monkeypatch.setattr(planning, "FORMATS", {"paper": Paper()})
    with pytest.raises(RecipeError, match="'int8@paper': format 'paper' has no encoding for 'int8'"):
        recipes.parse("int8@paper")


@pytest.mark.parametrize(
    ("text", "runtimes"),
    [
        ("float32", ["litert", "tflite-runtime"]),
        ("float16", ["litert", "tflite-runtime"]),
        # tflite-runtime 2.14 knows FULLY_CONNECTED up to version 11; this has version 12.
        ("dynamic", ["litert"]),
        ("int8", ["litert", "tflite-runtime"]),
        ("int16x8", ["litert", "tflite-runtime"]),
    ],
)
def test_runtimes(text: str, runtimes: list[str]) -> None:
    assert [each.runtime for each in recipes.runtimes(recipes.parse(text))] == runtimes


def test_catalogue_lists_every_step_by_its_canonical_text() -> None:
    listed = recipes.catalogue()
    assert [each.text for each in listed] == [f"{name}@tflite" for name in STEPS]
    assert [each.text for each in listed if each.needs_calibration] == ["int8@tflite", "int16x8@tflite"]
    assert all(each.summary and each.runtimes for each in listed)


def test_recipes_are_values() -> None:
    recipe = recipes.parse("int8")
    assert {recipe: 1}[recipes.parse("INT8@tflite")] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.format = "onnx"  # type: ignore[misc]


def test_errors_survive_pickling() -> None:
    with pytest.raises(RecipeError) as refused:
        recipes.parse("int9")
    again = pickle.loads(pickle.dumps(refused.value))
    assert (type(again), again.message, again.reason) == (RecipeError, refused.value.message, 17)
