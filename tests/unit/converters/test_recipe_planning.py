from __future__ import annotations

import dataclasses
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_converters import recipes
from edgemeter_converters.formats import FORMATS
from edgemeter_converters.models import FRAMEWORKS
from edgemeter_converters.recipes import Recipe, RecipeError, planning
from edgemeter_converters.steps import STEPS, Precision
from edgemeter_protos.v1 import refusal_pb2

SHARES = st.integers(1, 99).map(lambda hundredths: f"0.{hundredths:02d}")
CHANGES = st.lists(
    st.sampled_from(["distill", "prune-channels", "low-rank", "prune", "cluster"]), unique=True
)
ENCODINGS = st.sampled_from(["", *(name for name, step in STEPS.items() if step.precision is not None)])


TFLITE = sorted(
    name for name, step in STEPS.items() if step.precision in {None, *FORMATS["tflite"].precisions}
)


@given(st.sampled_from(TFLITE), st.sampled_from(["", "@tflite", " @ TFLITE "]), st.booleans())
def test_canonical_text_parses_to_the_same_recipe(step: str, format_: str, shouted: bool) -> None:
    recipe = recipes.parse((step.upper() if shouted else step) + format_)
    assert (recipe.steps[0].name, recipe.format) == (step, "tflite")
    assert recipes.parse(str(recipe)) == recipe


@given(CHANGES, ENCODINGS, SHARES, st.sampled_from(sorted(FORMATS)))
def test_any_steps_make_a_recipe_or_are_refused(
    changes: list[str], encoding: str, share: str, format_: str
) -> None:
    written = [f"{name}({share})" if name != "cluster" else "cluster(8)" for name in changes]
    text = "+".join([*written, *([encoding] if encoding else [])]) + f"@{format_}"
    try:
        recipe = recipes.parse(text)
    except RecipeError:
        return
    assert recipes.parse(str(recipe)) == recipe
    assert [call.name for call in recipes.transforms(recipe)] == [
        *changes,
        *(["qat"] if encoding == "qat" else []),
    ]
    # Each would undo what those after it did.
    order = ["distill", "prune-channels", "low-rank", "prune", "cluster"]
    assert changes == sorted(changes, key=order.index)
    for framework in FRAMEWORKS:
        assert isinstance(recipes.refusal(recipe, framework), str)


@given(st.text(alphabet="intfloadymcx0123468 +@()=,|%:", max_size=30))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        outcome: Recipe | int = recipes.parse(text)
    except RecipeError as error:
        outcome = error.reason
    assert isinstance(outcome, Recipe) or outcome == refusal_pb2.REFUSAL_REASON_UNKNOWN_RECIPE


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        pytest.param("prune", "prune(0.5)@tflite", id="usual arguments are written"),
        pytest.param("prune(50%)", "prune(0.5)@tflite", id="a percentage is a share"),
        pytest.param("prune(sparsity=.5)", "prune(0.5)@tflite", id="a keyword that needs none"),
        pytest.param("prune(2:4,epochs=3)", "prune(2:4)@tflite", id="a usual number is left out"),
        pytest.param("prune(0.5,lr=0.01,epochs=0)", "prune(0.5,epochs=0,lr=0.01)@tflite", id="sorted"),
        pytest.param("int8(per_tensor)", "int8(per_tensor)@tflite", id="a flag"),
        pytest.param("int8(keep=b|a*)@onnx", "int8(keep=b|a*)@onnx", id="names"),
        pytest.param("int8(keep=a)", "int8(keep=a)@tflite", id="one name"),
        pytest.param("int8(auto_keep=0.5%)", "int8(auto_keep=0.005)@tflite", id="a bound"),
        pytest.param("distill(width=1/2)", "", id="no fractions"),
    ],
)
def test_equal_recipes_have_one_text(text: str, canonical: str) -> None:
    if not canonical:
        with pytest.raises(RecipeError):
            recipes.parse(text)
        return
    assert str(recipes.parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("int9", "unknown recipe 'int9': did you mean 'int8'? Known: ", id="nearest step"),
        pytest.param("quux", "unknown recipe 'quux': Known: cluster, distill, ", id="nothing near"),
        pytest.param("int8@tflit", "unknown format 'tflit': did you mean 'tflite'? ", id="nearest format"),
        pytest.param(
            "int8(3)",
            "'int8(3)': '3' is one argument too many; it takes per_tensor, io, method, ",
            id="too many",
        ),
        pytest.param(
            "float16(x=1)", "'float16(x=1)': unknown argument 'x': it takes no arguments", id="takes none"
        ),
        pytest.param(
            "prune(sparsty=0.5)",
            "'prune(sparsty=0.5)': unknown argument 'sparsty': did you mean 'sparsity'? it takes ",
            id="nearest argument",
        ),
        pytest.param(
            "prune(1.5)", "'prune': 'sparsity' is 1.5, expected a share between 0 and 1", id="out of range"
        ),
        pytest.param("prune(0)", "'prune': 'sparsity' is 0, expected a share between 0 and 1", id="nothing"),
        pytest.param("prune(4:2)", "'prune': 'sparsity' is '4:2', expected a share ", id="more than all"),
        pytest.param(
            "prune-channels(2:4)",
            "'prune-channels': 'ratio' is '2:4', expected a share between 0 and 1",
            id="a ratio where a share is asked for",
        ),
        pytest.param(
            "cluster(1)", "'cluster': 'clusters' is 1, expected a whole number between 2 and 256", id="one"
        ),
        pytest.param(
            "cluster(2.5)", "'cluster': 'clusters' is '2.5', expected a whole number", id="no whole"
        ),
        pytest.param(
            "int8(method=magic)",
            "'int8': 'method' is 'magic', expected one of min-max, moving-average, percentile, entropy",
            id="no such choice",
        ),
        pytest.param(
            "prune(0.5,sparsity=0.6)",
            "'prune(0.5,sparsity=0.6)': 'sparsity' is given twice",
            id="twice",
        ),
        pytest.param(
            "int8+float16",
            "'int8' and 'float16' can't be combined: "
            "each says how the model is encoded; keep one, as the last step",
            id="two encodings",
        ),
        pytest.param(
            "int8+prune", "'int8' says how the model is encoded: it has to be the last step", id="not last"
        ),
        pytest.param(
            "prune(0.5)+low-rank(0.5)",
            "'low-rank' would undo what 'prune' did: write 'low-rank' before 'prune'",
            id="one would undo the other",
        ),
        pytest.param("prune+prune(0.7)", "'prune' stands twice: keep one of them", id="one step twice"),
        pytest.param(
            "cluster(16)+qat", "'cluster' and 'qat' can't be combined: its training ", id="retrained"
        ),
    ],
)
def test_refuses(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as refused:
        recipes.parse(text)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "precision", "calibration_samples", "trains"),
    [
        pytest.param("float32", Precision.FLOAT32, 0, False, id="float32"),
        pytest.param("prune(0.5)", Precision.FLOAT32, 0, True, id="float32 where no step says"),
        pytest.param("prune(0.5,epochs=0)", Precision.FLOAT32, 0, False, id="without fine-tuning"),
        pytest.param("prune(0.5)+dynamic", Precision.DYNAMIC_INT8, 0, True, id="the last step says"),
        pytest.param("int8", Precision.INT8, 200, False, id="calibrates"),
        pytest.param("int8(samples=50)", Precision.INT8, 50, False, id="with few"),
        pytest.param("int8(samples=500)", Precision.INT8, 500, True, id="with more than are set aside"),
        pytest.param("int8(auto_keep=0.01)", Precision.INT8, 200, True, id="chooses by training samples"),
        pytest.param("qat", Precision.INT8, 200, True, id="both"),
        pytest.param("w4a8", Precision.W4A8, 0, False, id="four bits"),
    ],
)
def test_what_a_recipe_needs(text: str, precision: Precision, calibration_samples: int, trains: bool) -> None:
    recipe = recipes.parse(text)
    assert recipes.precision(recipe) is precision
    assert recipes.calibration_samples(recipe) == calibration_samples
    assert recipes.needs_calibration(recipe) is bool(calibration_samples)
    assert recipes.needs_training(recipe) is trains


@pytest.mark.parametrize(
    ("framework", "format_"),
    [("keras", "tflite"), ("torch", "tflite"), ("onnx", "onnx"), ("torchscript", "torchscript")],
)
def test_a_plain_name_means_the_models_natural_format(framework: str, format_: str) -> None:
    assert recipes.parse("float32", framework).format == format_
    assert not recipes.refusal(recipes.parse("float32", framework), framework)


@pytest.mark.parametrize(
    ("text", "framework", "reason"),
    [
        (
            "prune(0.5)",
            "onnx",
            (
                "'prune' changes the network, which takes a Keras model or a Llama language model "
                "or a torch module"
            ),
        ),
        ("float32@tflite", "onnx", "an ONNX file can't be written as 'tflite'; its natural format is 'onnx'"),
        ("prune(0.5)+int8", "keras", ""),
        ("prune-channels(0.3)+qat@tflite", "torch", ""),
    ],
)
def test_what_a_framework_has_no_way_to_do(text: str, framework: str, reason: str) -> None:
    given_reason = recipes.refusal(recipes.parse(text, framework), framework)
    assert given_reason.startswith(reason)
    assert bool(given_reason) is bool(reason)


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
        # Silently wrong there.
        ("w4a8", ["litert"]),
    ],
)
def test_runtimes(text: str, runtimes: list[str]) -> None:
    assert [each.runtime for each in recipes.runtimes(recipes.parse(text))] == runtimes


def test_catalogue_lists_every_step_by_its_usual_call() -> None:
    listed = recipes.catalogue()
    parsed = [recipes.parse(f"{each.text}@{each.formats[0]}") for each in listed]
    assert [recipe.steps[0].name for recipe in parsed] == list(STEPS)
    assert [each.text for each in listed if each.needs_calibration] == ["int8", "int16x8", "gptq", "qat"]
    assert all(each.summary and each.formats for each in listed)
    # Only compared with, on the coordinator.
    assert [each.text for each in listed if not each.runtimes] == ["gptq"]
    assert {each.text: list(each.formats) for each in listed}["q4_k_m"] == ["gguf"]


@pytest.mark.parametrize("framework", sorted(FRAMEWORKS))
def test_every_recipe_applies_or_says_why_not(framework: str) -> None:
    answers = recipes.applicability(framework)
    assert any(each.applies for each in answers)
    assert all(each.reason for each in answers if not each.applies)
    named = [each.recipe for each in answers]
    assert len(named) == len(set(named))


def test_what_suits_nothing_is_said_once() -> None:
    answers = {each.recipe: each for each in recipes.applicability("onnx")}
    assert not answers["prune(0.5)"].applies
    assert not answers["@executorch"].applies
    assert answers["int8@onnx"].reason == "needs calibration samples"
    assert "float32@executorch" not in answers


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
