"""`edgemeter study run`, `bundle` and `replay`, as a user types them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgemeter_coordinator
from tests.desk import Desk

ONE = '[[part]]\nname = "a"\nmodel = "{model}"\ndata = "x.npz"\n'
HEAD = 'name = "x"\n[defaults]\nrecipes = ["float32", "int8"]\n'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (HEAD + ONE + "recipies = []", "error: x.toml:8: unknown key 'recipies' in [[part]]: did you mean"),
        (HEAD + ONE + 'plan.blocks = "8"', "error: x.toml:8: blocks is a whole number, not '8'"),
        ("name = x", "error: x.toml:1: no TOML: Invalid value"),
        (HEAD, "error: x.toml:1: a study file needs parts"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(serving: Desk, text: str, line: str) -> None:
    (serving.folder / "x.toml").write_text(text)
    assert serving.refused("edgemeter study run x.toml --dry-run").startswith(line)


def test_a_command_that_can_not_be_meant(serving: Desk) -> None:
    (serving.folder / "x.toml").write_text(HEAD + ONE.format(model="x.keras"))
    refused = serving.refused
    assert "no device matches 'rack=z'" in refused("edgemeter study run x.toml --device rack=z")
    assert "x.toml has no part 'b': it has a" in refused("edgemeter study run x.toml --only b")
    assert "'a/b' can't be a name here" in refused("edgemeter study run x.toml --name a/b")
    assert "none.toml: No such file or directory" in refused("edgemeter study run none.toml")
    assert "there is no study 'none'" in refused("edgemeter study bundle none -o none.zip")
    assert "is no bundle" in refused("edgemeter study replay x.toml")
    assert "cannot read none.zip" in refused("edgemeter study replay none.zip")


FILE = """\
name = "stripes"
[defaults]
recipes = ["float32@tflite", "q8_0@gguf"]
[defaults.plan]
profile = "quick"
min_duration = "50ms"
warmup_min_duration = "50ms"
settle_timeout = "0s"
energy_windows = 0

[[part]]
name = "net"
application = "image classification"
model = "stripes.keras"
data = "stripes.npz"
task = "classification"

[[part]]
name = "misfit"
model = "stripes.keras"
data = "other.npz"
recipes = ["float32"]
quick = false
"""


@pytest.fixture(scope="module")
def run(office: Desk, material: Path) -> tuple[Desk, dict[str, Any]]:
    """A desk where the file's run has ended, and what it printed."""
    for name in ("stripes.keras", "stripes.npz"):
        shutil.copy(material / name, office.folder / name)
    (office.folder / "stripes.toml").write_text(FILE)
    rng = np.random.default_rng(0)
    np.savez(
        office.folder / "other.npz",
        x_train=rng.normal(size=(20, 3)).astype(np.float32),
        x_test=rng.normal(size=(20, 3)).astype(np.float32),
        y_test=np.arange(20) % 2,
    )
    done = office.run("edgemeter study run stripes.toml --device rack=a --json")
    assert done.returncode == 1, done.stderr
    return office, json.loads(done.stdout) | {"stderr": done.stderr}


@pytest.mark.slow
@pytest.mark.needs_tensorflow
class TestWithABoard:
    def test_a_part_that_fails_leaves_the_others(self, run: tuple[Desk, dict[str, Any]]) -> None:
        _, outcome = run
        net, misfit = outcome["parts"]
        assert (net["study"], net["state"], net["application"]) == (
            "stripes/net",
            "completed",
            "image classification",
        )
        assert misfit["state"] == "not_made"
        assert "does not fit stripes" in misfit["problems"][0]
        assert "part misfit not made" in outcome["stderr"]
        # A recipe that no such model can have is left out, and named.
        (left_out,) = net["left_out"]
        assert left_out["recipe"] == "q8_0@gguf"
        assert "can't be written as 'gguf'" in left_out["reason"]
        # None where this machine was too busy to tell.
        assert {each["recipe"] for each in net["fastest"]} <= {"float32@tflite"}

    def test_again(self, run: tuple[Desk, dict[str, Any]]) -> None:
        desk, _ = run
        before = desk.json("edgemeter study ls")
        (net,) = desk.json("edgemeter study run stripes.toml --device rack=a --only net")["parts"]
        assert (net["study"], net["reused"]) == ("stripes/net", True)
        assert desk.json("edgemeter study ls") == before

    def test_a_dry_run(self, run: tuple[Desk, dict[str, Any]]) -> None:
        desk, _ = run
        intended = desk.json("edgemeter study run stripes.toml --device rack=a --dry-run")
        assert [(part["part"], part["earlier"]) for part in intended["parts"]] == [
            ("net", "completed"),
            ("misfit", None),
        ]
        assert intended["parts"][0]["model_from"] == "file"
        quick = desk.json("edgemeter study run stripes.toml --device rack=a --dry-run --quick")
        assert (quick["name"], [part["part"] for part in quick["parts"]]) == ("stripes-quick", ["net"])
        table = desk.ok("edgemeter study run stripes.toml --device rack=a --dry-run")
        assert "at least" in table

    def test_people_get_a_table(self, run: tuple[Desk, dict[str, Any]]) -> None:
        desk, _ = run
        done = desk.run("edgemeter study run stripes.toml --device rack=a --only net")
        assert done.returncode == 0, done.stderr
        assert "edgemeter study show stripes/net" in done.stdout
        assert "completed, was there" in done.stdout
        assert "net: left out q8_0@gguf" in done.stderr

    def test_from_python(self, run: tuple[Desk, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
        desk, _ = run
        monkeypatch.setenv("EDGEMETER_CONFIG", str(desk.folder / "config" / "edgemeter" / "config.toml"))
        with edgemeter_coordinator.connect() as lab:
            (net,) = lab.run_study_file(desk.folder / "stripes.toml", devices=["rack=a"], only=["net"])
            assert net.study is not None
            assert (net.study.name, net.reused, net.completed) == ("stripes/net", True, True)

    def test_replay(self, run: tuple[Desk, dict[str, Any]]) -> None:
        desk, _ = run
        made = desk.json("edgemeter study bundle stripes -o stripes.zip")
        assert (made["studies"], made["files"]) == (["stripes/net"], [])
        done = desk.run("edgemeter study replay stripes.zip --device rack=a --json")
        (study,) = json.loads(done.stdout)["studies"]
        assert study["repeated_as"] == "stripes-replay/net"
        says = {number["number"]: number["says"] for number in study["numbers"]}
        # The variant is the same file, and its outputs are the same ones.
        assert says["size_bytes"] == says["quality top1"] == "agrees"
        # Time is this machine's to say; a repetition that differs exits with 1.
        assert "latency_p50_ns" in says
        assert (done.returncode == 0) is not bool(set(says.values()) & {"differs", "missing"})
        # Once more: measured anew.
        again = desk.run("edgemeter study replay stripes.zip --device rack=a")
        assert "repeated as stripes-replay/net/2" in again.stderr

    def test_replay_elsewhere(self, run: tuple[Desk, dict[str, Any]], elsewhere: Desk) -> None:
        desk, _ = run
        desk.ok("edgemeter study bundle stripes/net -o bare.zip")
        shutil.copy(desk.folder / "bare.zip", elsewhere.folder)
        done = elsewhere.run("edgemeter study replay bare.zip")
        assert done.returncode == 1
        assert "is neither at the coordinator nor in the bundle: make it with --with-files" in done.stderr
        made = desk.json("edgemeter study bundle stripes/net -o whole.zip --with-files")
        assert len(made["files"]) == 2
        shutil.copy(desk.folder / "whole.zip", elsewhere.folder)
        done = elsewhere.run("edgemeter study replay whole.zip --json")
        (study,) = json.loads(done.stdout)["studies"]
        assert study["state"] == "completed"
        says = {number["number"]: number["says"] for number in study["numbers"]}
        assert says["size_bytes"] == says["quality top1"] == "agrees"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Another lab, with a board of its own and nothing else."""
    desk = Desk(tmp_path_factory.mktemp("elsewhere"))
    try:
        desk.serve()
        desk.join("other")
        desk.attend("other")
        yield desk
    finally:
        desk.finish()
