"""From options to what replaces a profile's numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from edgemeter_coordinator.cli.completion import complete_scenario
from edgemeter_coordinator.cli.plan_options import overrides, parse_cpus, parse_numbers
from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_coordinator.sdk.plan import resolve_plan
from edgemeter_protos import plans
from edgemeter_protos.v1 import plan_pb2


def test_numbers_of_the_plan() -> None:
    assert parse_numbers(["blocks=8", " seed =1", "target_qps=0.5", "idle_duration=10s"]) == {
        "blocks": 8,
        "seed": 1,
        "target_qps": 0.5,
        "idle_duration": "10s",
    }


@pytest.mark.parametrize("pair", ["blocks", "blocks=", "blocks=many", "=", "scenario=server"])
def test_what_sets_no_number(pair: str) -> None:
    with pytest.raises(typer.BadParameter, match="NAME=NUMBER"):
        parse_numbers([pair])


@pytest.mark.parametrize(("text", "cpus"), [("3", [3]), ("0,2", [0, 2]), ("2-4,0, 3", [0, 2, 3, 4])])
def test_processors(text: str, cpus: list[int]) -> None:
    assert parse_cpus(text) == cpus


@pytest.mark.parametrize("text", ["", "all", "1-", "-1", "3-2", "1;2", "1..3"])
def test_what_names_no_processors(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="--affinity"):
        parse_cpus(text)


def test_what_was_not_given_replaces_nothing() -> None:
    assert overrides(None, affinity=None, threads=None, require_energy=False, scenario=None) == {}


def test_named_options_outdo_set() -> None:
    given = overrides(["threads=2", "blocks=3"], affinity="0-3", threads=4, require_energy=True)
    assert given == {"threads": 4, "blocks": 3, "affinity_cpus": [0, 1, 2, 3], "require_energy": True}


def test_zero_is_given() -> None:
    assert overrides(None, affinity=None, profiled_queries=0) == {"profiled_queries": 0}


def test_scenarios_complete() -> None:
    assert complete_scenario("s") == ["single-stream", "server"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text('profile = "quick"\nblocks = 7\nsustain = "10m"\nscenario = "offline"\nbatch_size = 4\n')
    return path


def test_a_file_replaces_the_profiles_numbers(file: Path) -> None:
    plan = resolve_plan(None, {}, file)
    assert (plan.profile, plan.blocks, plan.scenario) == ("quick", 7, plan_pb2.SCENARIO_OFFLINE)
    assert plan.sustain_duration_ns == 600 * 10**9


def test_options_outdo_the_file(file: Path) -> None:
    plan = resolve_plan("publication", {"blocks": 2, "sustain_duration_ns": 5}, file)
    assert (plan.profile, plan.blocks, plan.sustain_duration_ns, plan.batch_size) == ("publication", 2, 5, 4)


def test_without_either_it_is_the_standard_profile() -> None:
    assert resolve_plan(None, {}) == plans.resolve("standard")


@pytest.mark.parametrize(
    ("profile", "numbers", "text", "says"),
    [
        ("huge", {}, None, "huge"),
        (None, {"block": 8}, None, "did you mean"),
        (None, {"threads": "many"}, None, "threads"),
        (None, {"scenario": "severe"}, None, "server"),
        (None, {}, "blocks = ", r"plan\.toml"),
        (None, {}, "block = 8", r"plan\.toml.*block"),
    ],
)
def test_a_plan_that_can_t_be_had_is_one_line(
    profile: str | None, numbers: dict[str, int | str], text: str | None, says: str, tmp_path: Path
) -> None:
    file = None
    if text is not None:
        file = tmp_path / "plan.toml"
        file.write_text(text)
    with pytest.raises(EdgemeterError, match=says) as refused:
        resolve_plan(profile, numbers, file)
    assert "\n" not in str(refused.value)


def test_a_plan_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EdgemeterError, match=r"gone\.toml"):
        resolve_plan(None, {}, tmp_path / "gone.toml")
