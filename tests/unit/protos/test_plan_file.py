from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgemeter_protos import plan_file, plans
from edgemeter_protos.v1 import plan_pb2

SERVER = """
# a camera that looks twice a second
profile = "standard"
scenario = "server"
target_qps = 50
blocks = 6
min_duration = "2s"
affinity_cpus = [2, 3]
require_energy = true
"""


def test_a_plan_file(tmp_path: Path) -> None:
    path = tmp_path / "camera.toml"
    path.write_text(SERVER)
    profile, overrides = plan_file.read(path)
    assert profile == "standard"
    assert overrides == {
        "scenario": "server",
        "target_qps": 50.0,
        "blocks": 6,
        "block_min_duration_ns": 2_000_000_000,
        "affinity_cpus": (2, 3),
        "require_energy": True,
    }
    plan = plans.resolve(profile, **overrides)
    assert (plan.scenario, plan.target_qps, plan.blocks) == (plan_pb2.SCENARIO_SERVER, 50, 6)
    assert plan_file.read(str(path)) == (profile, overrides)


def test_a_file_may_leave_the_profile_to_the_command_line() -> None:
    assert plan_file.parse("blocks = 6") == (None, {"blocks": 6})
    assert plan_file.parse("") == (None, {})


def test_what_contradicts_each_other_may_be_put_right_by_an_option() -> None:
    _profile, overrides = plan_file.parse('scenario = "server"')
    assert plans.resolve("quick", **{**overrides, "target_qps": 5}).target_qps == 5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("blokcs = 6", "a plan has nothing called 'blokcs'; did you mean blocks?"),
        ("blocks = 0", "blocks is 0; it must be from 1"),
        ('blocks = "six"', "blocks is a whole number, not 'six'"),
        ("blocks = 6.0", "blocks is a whole number, not 6.0"),
        ("target_qps = nan", "target_qps is nan"),
        ("target_qps = 1979-05-27", "target_qps is a number, not datetime.date(1979, 5, 27)"),
        ("min_duration = 2", "min_duration is a duration with a unit"),
        (
            'sustain = "1s"\nsustain_duration = "2s"',
            "sustain and sustain_duration are the same: give one of them",
        ),
        ('profile = "fast"', "no profile is called 'fast'; there are quick, standard, publication"),
        ('profile = ["quick"]', "no profile is called ['quick']"),
        ("[server]\ntarget_qps = 5", "'server' is a table, and a plan has none: write its keys at the top"),
        ("server.target_qps = 5", "'server' is a table"),
        ("blocks = 6\nblocks = 7", "is no TOML: "),
        ("blocks 6", "is no TOML: Expected '=' after a key in a key/value pair (at line 1, column 8)"),
        ("seed = " + "9" * 5000, "is no TOML: "),
        ("blocks = " + "[" * 5000, "is no TOML: "),
        ("seed = " + "9" * 4000, "seed is 9999"),
    ],
)
def test_refusals_name_the_file(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        plan_file.read(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfe", "is no text in UTF-8: byte 0 is none"),
        (b"#" * (plan_file.MAX_BYTES + 1), "is larger than 16384 bytes: it is no plan"),
    ],
)
def test_files_that_are_no_text(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "plan.toml").write_bytes(content)
    with pytest.raises(ValueError, match=says):
        plan_file.read(tmp_path / "plan.toml")


@pytest.mark.parametrize(
    ("name", "says"),
    [("absent.toml", "No such file or directory"), (".", "Is a directory"), ("a\0b", "null")],
)
def test_files_that_are_none(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        plan_file.read(f"{tmp_path}/{name}")


def test_a_python_without_a_toml_reader_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def none(name: str) -> Any:
        asked.append(name)
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(plan_file, "import_module", none)
    with pytest.raises(ValueError, match=r"use Python 3\.11 or newer, or pip install tomli"):
        plan_file.parse("blocks = 6")
    assert asked == ["tomllib", "tomli"]


def test_python_3_10_reads_with_tomli(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tomli:
        @staticmethod
        def loads(text: str) -> dict[str, Any]:
            return {"blocks": len(text)}

    def only_tomli(name: str) -> Any:
        if name == "tomllib":
            raise ModuleNotFoundError(name)
        return Tomli if name == "tomli" else import_module(name)

    monkeypatch.setattr(plan_file, "import_module", only_tomli)
    assert plan_file.parse("seven =") == (None, {"blocks": 7})


NAMES = st.text(st.characters(codec="utf-8"), max_size=30).filter(str.isprintable)
SHARED = {
    "threads": st.integers(1, 2),
    "affinity_cpus": st.lists(st.integers(0, 1023), min_size=2, max_size=6, unique=True),
    "accelerator": NAMES,
    "meter": NAMES,
    "require_energy": st.booleans(),
    "energy_windows": st.integers(1, 100),
    "seed": st.integers(0, 2**64 - 1),
    "idle_duration_ns": st.integers(0, 2**64 - 1),
    "block_min_duration_ns": st.integers(0, 2**64 - 1),
    # A week is what a job may take in all.
    "sustain_duration_ns": st.integers(0, 6 * 10**14),
}
SCENARIOS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"scenario": st.sampled_from(["single-stream", "offline"])}),
    st.fixed_dictionaries({"scenario": st.just("multi-stream"), "samples_per_query": st.integers(1, 65536)}),
    st.fixed_dictionaries(
        {
            "scenario": st.just("server"),
            "target_qps": st.floats(0.001, 1e6),
            "latency_bound_ns": st.integers(0, 2**64 - 1),
            "latency_bound_percent": st.floats(50, 99.99),
        }
    ),
)


@settings(deadline=None)
@given(st.sampled_from([*plans.PROFILES]), st.fixed_dictionaries({}, optional=SHARED), SCENARIOS)
def test_a_plan_that_is_written_is_read_as_the_same(
    profile: str, shared: dict[str, Any], scenario: dict[str, Any]
) -> None:
    plan = plans.resolve(profile, **shared, **scenario)
    read_profile, overrides = plan_file.parse(plan_file.to_toml(plan))
    assert read_profile == profile
    assert plans.resolve(read_profile, **overrides) == plan
    # All of it: nothing is left to a profile, which may change with the next version.
    for other in plans.PROFILES:
        again = plans.resolve(other, **overrides)
        again.profile = profile
        assert again == plan


def test_what_is_written_can_be_read_by_people() -> None:
    lines = plan_file.to_toml(plans.resolve("quick", sustain="10m", affinity_cpus=[0, 1])).splitlines()
    assert lines[:3] == ['profile = "quick"', 'scenario = "single-stream"', "threads = 1"]
    assert {
        'block_min_duration = "250ms"',
        'sustain_duration = "10m"',
        "affinity_cpus = [0, 1]",
        "require_energy = false",
        "latency_bound_percent = 99.0",
        'meter = ""',
    } <= set(lines)


WORDS = st.sampled_from(
    [
        *(*plans._NAMES, "profile", "=", '"', "'''", "[", "]", "{", "}", ".", ",", "\n", "#", " ", "\\u"),
        *("2s", "1e999", "nan", "true", "0x10", "1979-05-27", "é", "\x00", "server", "quick"),
    ]
)


@settings(deadline=None)
@given(st.one_of(st.text(), st.lists(WORDS).map("".join), st.lists(WORDS).map(" = ".join)))
@example("a=" + "{a=" * 2000)
@example("a." * 3000 + "a=1")
def test_any_text_is_a_plan_or_one_line(text: str) -> None:
    told = "plan.toml"
    try:
        plan_file.parse(text, "plan.toml")
    except ValueError as error:
        told = str(error)
    assert len(told.splitlines()) == 1
    assert told.startswith("plan.toml")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_file_is_a_plan_or_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    told = ""
    try:
        plan_file.read(path)
    except ValueError as error:
        told = str(error)
    assert len(told.splitlines()) <= 1
