"""Study files: what they say, and the line for each way to get one wrong."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_coordinator.study_file import reading
from edgemeter_coordinator.study_file.contents import Data, How, Original

FILE = """\
name = "mine"
about = "Two nets."

[defaults]
recipes = ["float32", "int8"]
plan = { profile = "standard", threads = 2 }
quick.recipes = ["float32"]

[[part]]
name = "resnet"
application = "image classification"
model = "cifar10-resnet"

[[part]]
name = "own"
model = "nets/own.pt2"
task = "classification"
inputs = ["float32[3,32,32]"]
preprocess = ["scale=1/255,mean=0.5;0.4;0.5"]
recipes = ["float32@onnx", "prune-channels(0.3)+int8@onnx"]
[part.data]
source = "pictures"
image_size = "32"
input_columns = ["a", "b"]
label_column = "kind"
[part.plan]
idle_duration = "10s"
[part.quick]
recipes = ["float32@onnx"]
plan.blocks = 2

[[part]]
name = "left-out"
model = "mynets:large"
data = "digits.npz"
quick = false
"""


def test_a_file() -> None:
    file = reading.parse(FILE, "studies/mine.toml")
    assert (file.name, file.about, file.source) == ("mine", "Two nets.", "studies/mine.toml")
    assert file.how == How(recipes=("float32", "int8"), profile="standard", plan={"threads": 2})
    assert file.quick == How(recipes=("float32",), plan={})
    resnet, own, left_out = file.parts
    assert (resnet.name, resnet.application, resnet.line) == ("resnet", "image classification", 9)
    assert resnet.model == Original(source="cifar10-resnet", line=12)
    assert resnet.data == Data(source="", line=9)
    assert resnet.how == resnet.quick == How(plan={})
    assert own.data == Data(
        source="pictures", line=21, image_size=(32, 32), input_columns=("a", "b"), label_column="kind"
    )
    assert (own.task, own.inputs) == ("classification", ("float32[3,32,32]",))
    assert own.preprocess == ("scale=1/255,mean=0.5;0.4;0.5",)
    assert own.how.plan == {"idle_duration_ns": 10_000_000_000}
    assert own.quick == How(recipes=("float32@onnx",), plan={"blocks": 2})
    assert left_out.data.source == "digits.npz"
    assert left_out.quick is None


PART = '[[part]]\nname = "a"\nmodel = "m"\nrecipes = ["float32"]\n'
"""Four lines, after the first."""


@pytest.mark.parametrize(
    ("after", "line", "message"),
    [
        (
            PART + 'recipies = ["int8"]',
            6,
            "unknown key 'recipies' in [[part]]: did you mean 'recipes'?",
        ),
        (
            PART + "zzz = 1",
            6,
            "unknown key 'zzz' in [[part]]; it has name, application, model, data, task, inputs, preprocess",
        ),
        # Of several the first, as one reads.
        (PART + "quikc = true\nmodle = 1", 6, "unknown key 'quikc' in [[part]]: did you mean 'quick'?"),
        ("[default]\n" + PART, 2, "unknown key 'default' in the study file: did you mean 'defaults'?"),
        (
            "[defaults]\nrecipe = []\n" + PART,
            3,
            "unknown key 'recipe' in [defaults]: did you mean 'recipes'?",
        ),
        (PART + "[part.quick]\nplans = {}", 7, "unknown key 'plans' in [part.quick]: did you mean 'plan'?"),
        (
            PART + 'data = { path = "x" }',
            6,
            "unknown key 'path' in [part.data]; it has source, image_size, input_columns, label_column",
        ),
        # Types.
        (
            '[[part]]\nname = "a"\nmodel = "m"\nrecipes = 3',
            5,
            'recipes in [[part]] is a list of texts, as in ["float32", "int8"], not 3',
        ),
        (
            '[[part]]\nname = "a"\nmodel = "m"\nrecipes = [\n"float32",\n8,\n]',
            7,
            'recipes in [[part]] is a list of texts, as in ["float32", "int8"]; 8 is none',
        ),
        ('[[part]]\nname = "a"\nmodel = 4', 4, "model in [[part]] is a text, not 4"),
        (PART + "data = 4", 6, "data in [[part]] is a text, not 4"),
        (PART + 'quick = "yes"', 6, "quick in [[part]] is true, false, or a table [part.quick], not 'yes'"),
        (
            "[defaults]\nquick = true\n" + PART,
            3,
            "quick in [defaults] is a table: each [[part]] says by itself whether it stays",
        ),
        (
            'part = "a"',
            2,
            "part in the study file is a list of tables: write [[part]] before the keys of each",
        ),
        (
            "[part]",
            2,
            "part in the study file is a list of tables: write [[part]] before the keys of each, not {}",
        ),
        (
            "defaults = 1\n" + PART,
            2,
            "defaults in the study file is a table: write [defaults] before its keys",
        ),
        # Values.
        ("[[part]]\n", 2, "a [[part]] needs a name"),
        ('[[part]]\nname = "a"', 2, "part a needs a model: a zoo name, a path, or package.module:function"),
        (
            '[[part]]\nname = "a/b"\nmodel = "m"',
            3,
            "'a/b' can't be a name here: write 1 to 48 letters, digits, '.', '_', '+' or '-', beginning",
        ),
        (PART + PART, 7, "line 3 has a part 'a' already"),
        (
            '[[part]]\nname = "a"\nmodel = "m"',
            2,
            'part a has no recipes, and [defaults] names none: write recipes = ["float32", "int8"]',
        ),
        (
            '[[part]]\nname = "a"\nmodel = "m"\nrecipes = []',
            5,
            'recipes in [[part]] is empty: name at least one, as in ["float32", "int8"]',
        ),
        ("", 1, "a study file needs parts: write [[part]] before the keys of each"),
        (
            PART + 'plan = { profile = "fast" }',
            6,
            "no profile is called 'fast'; there are quick, standard, publication",
        ),
        (PART + "[part.plan]\nblokcs = 3", 7, "a plan has nothing called 'blokcs'; did you mean blocks?"),
        (PART + "plan.blocks = 0", 6, "blocks is 0; it must be from 1 to 4294967295"),
        (
            PART + '[part.plan]\nsustain = "1m"\nsustain_duration = "2m"',
            8,
            "sustain_duration says what another key of [part.plan] says: give one of them",
        ),
        (
            PART + 'preprocess = ["scal=1/255"]',
            6,
            "preprocess: ",
        ),
        (PART + 'inputs = ["float32"]', 6, "'float32' is no input: "),
        (PART + 'data.image_size = "big"', 6, "'big' is no picture size: "),
        (
            PART + "data.window_tokens = true",
            6,
            "window_tokens in [part.data] is a whole number above 0, not True",
        ),
    ],
)
def test_what_is_wrong(after: str, line: int, message: str) -> None:
    with pytest.raises(EdgemeterError) as refused:
        reading.parse('name = "x"\n' + after, "x.toml")
    assert str(refused.value).startswith(f"x.toml:{line}: {message}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("int9", "unknown recipe 'int9': did you mean 'int8'?"),
        ("int8@tflit", "unknown format 'tflit': did you mean 'tflite'?"),
        ("prune(0.5", "expected ',' or ')'"),
        ("int8+prune(0.5)", ""),
    ],
)
def test_a_recipe_that_no_model_can_have(recipe: str, said: str) -> None:
    text = f'name = "x"\n[[part]]\nname = "a"\nmodel = "m"\nrecipes = [\n  "float32",\n  "{recipe}",\n]'
    with pytest.raises(EdgemeterError, match=r"^x\.toml:7: ") as refused:
        reading.parse(text, "x.toml")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "x.toml: no TOML: Invalid value"),
        ("\nname = x\n", "x.toml:2: no TOML: Invalid value"),
        ('name = "x"\n[[part]\n', "x.toml:2: no TOML: "),
        ("a = [", "x.toml: no TOML: "),
        ("a = " + "[" * 5000, "x.toml: no TOML: "),
    ],
)
def test_what_is_no_toml(text: str, message: str) -> None:
    with pytest.raises(EdgemeterError) as refused:
        reading.parse(text, "x.toml")
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_lines_are_counted_in_files_of_other_systems() -> None:
    text = FILE.replace("quick = false", "quikc = false").replace("\n", "\r\n")
    with pytest.raises(EdgemeterError, match=r"x\.toml:36: unknown key 'quikc'"):
        reading.parse(text, "x.toml")


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(EdgemeterError, match=r"none\.toml: No such file or directory"):
        reading.read(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(EdgemeterError, match="is no text in UTF-8: byte 8 is none"):
        reading.read(tmp_path / "bytes.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * (reading.MAX_BYTES + 1))
    with pytest.raises(EdgemeterError, match="is larger than 262144 bytes"):
        reading.read(tmp_path / "large.toml")


_WORDS = st.sampled_from(
    [
        *(
            "name",
            "part",
            "quick",
            "plan",
            "data",
            "recipes",
            "model",
            "defaults",
            '"float32"',
            '"x"',
            "true",
        ),
        *("1", "[", "]", "[[part]]", "[part.quick]", "[defaults]", "{", "}", "=", ".", ",", "\n", "#", "x"),
        *('"', "'''", '"""'),
    ]
)


@given(st.lists(_WORDS, max_size=30).map(" ".join) | st.text(max_size=40))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    with suppress(EdgemeterError):
        assert reading.parse(text, "x.toml").parts
        return
    with pytest.raises(EdgemeterError, match=r"^x\.toml(:[0-9]+)?: [^\n]+$"):
        reading.parse(text, "x.toml")
