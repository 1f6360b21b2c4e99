"""Which parts a run makes, by which recipes and plan; and where their models come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_coordinator.study_file import reading
from edgemeter_coordinator.study_file.originals import Kind, Located, Surroundings, locate
from edgemeter_coordinator.study_file.wanted import run_name, wanted

FILE = reading.parse(
    """\
name = "x"
[defaults]
recipes = ["float32", "int8"]
plan = { threads = 2, blocks = 6 }
quick = { recipes = ["float32"], plan = { blocks = 1 } }

[[part]]
name = "plain"
model = "zoo-net"

[[part]]
name = "own"
model = "own.keras"
data = "own.npz"
task = "classification"
recipes = ["float32@onnx"]
plan = { profile = "publication", threads = 1 }
[part.quick]
recipes = ["float32@onnx", "int8@onnx"]
plan = { cold_starts = 1 }

[[part]]
name = "long"
model = "mynets:net"
data = "zoo-net"
quick = false
""",
    "x.toml",
)


def test_a_full_run() -> None:
    plain, own, long = wanted(FILE)
    assert [each.part.name for each in (plain, own, long)] == ["plain", "own", "long"]
    assert plain.recipes == ("float32", "int8")
    assert (plain.plan.profile, plain.plan.threads, plain.plan.blocks) == ("standard", 2, 6)
    assert own.recipes == ("float32@onnx",)
    assert (own.plan.profile, own.plan.threads, own.plan.blocks) == ("publication", 1, 6)


def test_a_quick_run() -> None:
    plain, own = wanted(FILE, quick=True)
    assert plain.recipes == ("float32",)
    assert (plain.plan.profile, plain.plan.threads, plain.plan.blocks) == ("quick", 2, 1)
    assert own.recipes == ("float32@onnx", "int8@onnx")
    # Its own profile was for the full run.
    assert (own.plan.profile, own.plan.blocks, own.plan.cold_starts) == ("quick", 1, 1)


def test_what_the_command_line_says_outdoes_the_file() -> None:
    (own,) = wanted(FILE, only=["own"], profile="quick", overrides={"threads": 3, "sustain": "1s"})
    assert (own.plan.profile, own.plan.threads, own.plan.blocks) == ("quick", 3, 6)
    assert own.plan.sustain_duration_ns == 1_000_000_000


@pytest.mark.parametrize(
    ("quick", "only", "overrides", "message"),
    [
        (False, ["plian"], {}, "x.toml has no part 'plian': did you mean 'plain'?"),
        (False, ["zzz"], {}, "x.toml has no part 'zzz': it has plain, own, long"),
        (True, ["long"], {}, "x.toml: no part is left: all that are asked for say quick = false"),
        (False, [], {"blokcs": 3}, "a plan has nothing called 'blokcs'; did you mean blocks?"),
        (
            False,
            [],
            {"target_qps": 3.0},
            "x.toml:7: plan of part plain: target_qps is for the scenario server",
        ),
    ],
)
def test_what_can_not_be_wanted(
    quick: bool, only: list[str], overrides: dict[str, object], message: str
) -> None:
    with pytest.raises(EdgemeterError) as refused:
        wanted(FILE, quick=quick, only=only, overrides=overrides)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("quick", "asked", "name"),
    [(False, None, "x"), (True, None, "x-quick"), (False, "y", "y"), (True, "y", "y")],
)
def test_run_name(quick: bool, asked: str | None, name: str) -> None:
    assert run_name(FILE, quick=quick, asked=asked) == name


def around(*files: str, models: tuple[str, ...] = (), datasets: tuple[str, ...] = ()) -> Surroundings:
    return Surroundings(
        folder=Path("/studies"),
        zoo=("zoo-net", "zoo-text"),
        models=models,
        datasets=datasets,
        exists=lambda path: str(path) in files,
    )


def test_where_originals_come_from() -> None:
    plain, own, long = FILE.parts
    here = around("/studies/own.keras", "/studies/own.npz")
    zoo = Located(kind=Kind.ZOO, text="zoo-net")
    assert (locate(FILE, plain, here).model, locate(FILE, plain, here).data) == (zoo, zoo)
    assert locate(FILE, own, here).model == Located(kind=Kind.FILE, text="/studies/own.keras")
    assert locate(FILE, own, here).data == Located(kind=Kind.FILE, text="/studies/own.npz")
    assert locate(FILE, long, here).model == Located(kind=Kind.FUNCTION, text="mynets:net")
    assert locate(FILE, long, here).data == zoo


ONE = 'name = "x"\n[defaults]\nrecipes = ["int8"]\n[[part]]\nname = "a"\n'


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ('model = "zoo-nte"', "x.toml:6: no model is called 'zoo-nte': did you mean 'zoo-net'?"),
        ('model = "digts"', "x.toml:6: no model is called 'digts': did you mean 'digits'?"),
        (
            'model = "a/b.keras"',
            "x.toml:6: no model is called 'a/b.keras': there is no file /studies/a/b.keras",
        ),
        ('model = "w"', "x.toml:6: no model is called 'w': the zoo has zoo-net, zoo-text"),
        ('model = "digits"', "x.toml:4: part a names no data, and only models of the zoo bring their own"),
        ('model = "zoo-net"\ndata = "x.npz"', "x.toml:7: no data is called 'x.npz': there is no file"),
        (
            'model = "digits"\ndata = "zoo-net"\ntask = "classification"',
            "x.toml:6: task, inputs and preprocess are for a model that is added, and 'digits' is on the",
        ),
    ],
)
def test_originals_that_are_nowhere(said: str, message: str) -> None:
    file = reading.parse(ONE + said, "x.toml")
    with pytest.raises(EdgemeterError) as refused:
        locate(file, file.parts[0], around(models=("digits",)))
    assert str(refused.value).startswith(message)
