from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_converters.exceptions import RecipeError
from edgemeter_converters.recipes import Alternatives, Percent, Ratio, Recipe, StepCall, Value, grammar

NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,12}", fullmatch=True)
WORDS = st.from_regex(r"[A-Za-z_/*][A-Za-z0-9_./:*-]{0,12}", fullmatch=True)
ALTERNATIVES = st.lists(WORDS, min_size=2, max_size=4).map(lambda words: Alternatives(tuple(words)))
INTEGERS = st.integers(-(10**9), 10**9)
FLOATS = st.floats(-1e9, 1e9).map(lambda value: int(value) if value.is_integer() else value)
NUMBERS = INTEGERS | FLOATS
RATIOS = st.builds(Ratio, st.integers(0, 10**9), st.integers(0, 10**9))
VALUES: st.SearchStrategy[Value] = NUMBERS | NUMBERS.map(Percent) | RATIOS | WORDS | ALTERNATIVES
CALLS = st.builds(
    StepCall,
    name=NAMES,
    arguments=st.lists(VALUES, max_size=3).map(tuple),
    keywords=st.dictionaries(NAMES, VALUES, max_size=3).map(lambda named: tuple(sorted(named.items()))),
)
RECIPES = st.builds(Recipe, steps=st.lists(CALLS, min_size=1, max_size=4).map(tuple), format=NAMES)


@given(RECIPES)
def test_canonical_text_reads_back(recipe: Recipe) -> None:
    written = grammar.read(str(recipe))
    assert (written.steps, written.format) == (recipe.steps, recipe.format)


@given(st.text() | st.text(alphabet="ab1:5%.,=()+@ -_eE/|*"))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    refused = ""
    try:
        written = grammar.read(text)
    except RecipeError as error:
        refused = str(error)
    else:
        assert written.steps
    assert "\n" not in refused


@pytest.mark.parametrize(
    ("text", "steps", "format_"),
    [
        pytest.param("int8", (StepCall(name="int8"),), None, id="a plain name"),
        pytest.param(" INT8\t@ TFLite\n", (StepCall(name="int8"),), "tflite", id="space and case"),
        pytest.param("int8()", (StepCall(name="int8"),), None, id="no arguments"),
        pytest.param("prune(0.50)", (StepCall(name="prune", arguments=(0.5,)),), None, id="a number"),
        pytest.param("prune(.5)", (StepCall(name="prune", arguments=(0.5,)),), None, id="no leading zero"),
        pytest.param("cluster(16.0)", (StepCall(name="cluster", arguments=(16,)),), None, id="integral"),
        pytest.param(
            "prune( 2 : 4 )", (StepCall(name="prune", arguments=(Ratio(2, 4),)),), None, id="a ratio"
        ),
        pytest.param(
            "int8(per_tensor)", (StepCall(name="int8", arguments=("per_tensor",)),), None, id="a word"
        ),
        pytest.param(
            "int8(keep=block_1/Conv)",
            (StepCall(name="int8", keywords=(("keep", "block_1/Conv"),)),),
            None,
            id="a layer's name keeps its case",
        ),
        pytest.param(
            "int8(auto_keep=0.5%)",
            (StepCall(name="int8", keywords=(("auto_keep", Percent(0.5)),)),),
            None,
            id="a percentage",
        ),
        pytest.param(
            "distill(width=0.5, Epochs=3)",
            (StepCall(name="distill", keywords=(("epochs", 3), ("width", 0.5))),),
            None,
            id="keywords are sorted",
        ),
        pytest.param(
            "low-rank(0.5)+int8@onnx",
            (StepCall(name="low-rank", arguments=(0.5,)), StepCall(name="int8")),
            "onnx",
            id="two steps and a format",
        ),
    ],
)
def test_reads(text: str, steps: tuple[StepCall, ...], format_: str | None) -> None:
    assert grammar.read(text) == grammar.Written(steps=steps, format=format_)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the recipe is empty: write a step, such as int8, or steps and a format: int8@tflite"),
        ("int8+", "recipe 'int8+': expected a step's name at character 6, found the end"),
        ("int8@", "recipe 'int8@': expected a format's name at character 6, found the end"),
        ("int8)", "recipe 'int8)': expected the end, '+' or '@' at character 5, found ')'"),
        ("int8@tflite@onnx", "recipe 'int8@tflite@onnx': expected the end at character 12, found '@'"),
        ("prune(0.5", "recipe 'prune(0.5': expected ',' or ')' at character 10, found the end"),
        ("prune(2:)", "recipe 'prune(2:)': expected an integer after ':' at character 9, found ')'"),
        ("prune(1e99)", "recipe 'prune(1e99)': expected a number of at most 1e+09 at character 7, found '1'"),
        ("prune(a=1,A=2)", "recipe 'prune(a=1,A=2)': expected 'a' only once at character 11, found 'A'"),
        (
            "prune(a=1,2)",
            (
                "recipe 'prune(a=1,2)': "
                "expected NAME=VALUE, as after every named argument at character 11, found '2'"
            ),
        ),
        ("8int", "recipe '8int': expected a step's name at character 1, found '8'"),
        ("int8\n!", "recipe 'int8\\n!': expected the end, '+' or '@' at character 6, found '!'"),
        ("x" * 1001, "the recipe has 1001 characters, at most 1000 are read"),
    ],
)
def test_refuses(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as refused:
        grammar.read(text)
    assert str(refused.value) == message
