"""The shipped comparison's quick run the whole way: real models and data in, one report out.

Measures shorter than a user's, since no time is asserted here; what is built and scored is the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from edgemeter_coordinator.study_file import reading
from edgemeter_coordinator.study_file.wanted import wanted
from tests.desk import Desk

pytestmark = [pytest.mark.slow, pytest.mark.needs_torch, pytest.mark.timeout(1800)]

FILE = Path(__file__).parents[2] / "studies" / "compression.toml"
PARTS = {each.part.name: list(each.recipes) for each in wanted(reading.read(FILE), quick=True)}
# Packages that were fetched before are not fetched again.
CACHED = f"env XDG_CACHE_HOME={platformdirs.user_cache_path()} edgemeter"
RUN = f"{CACHED} study run {FILE} --quick"
SHORT = (
    " --set blocks=2 --set block_min_duration=50ms --set warmup_min_duration=50ms --set settle_timeout=0s"
    " --set max_voided_blocks=0 --set idle_duration=1s"
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(tmp_path_factory.mktemp("quick-study"))
    try:
        desk.serve()
        desk.join()
        desk.attend()
        yield desk
    finally:
        desk.finish()


@pytest.fixture(scope="module")
def run(desk: Desk) -> dict[str, Any]:
    """What the run printed once it had ended."""
    printed: dict[str, Any] = desk.json(RUN + SHORT, timeout_s=1700)
    return printed


@pytest.fixture(scope="module")
def rows(run: dict[str, Any], desk: Desk) -> dict[str, dict[str, dict[str, Any]]]:
    """By part and recipe."""
    found = {}
    for part in run["parts"]:
        desk.ok(f"edgemeter result export {part['study']} --format json -o {part['part']}.json")
        exported = json.loads((desk.folder / f"{part['part']}.json").read_text())
        found[part["part"]] = {row["recipe"].partition("@")[0]: row for row in exported}
    return found


def test_every_part_completes(run: dict[str, Any]) -> None:
    assert run["name"] == "compression-quick"
    assert {part["part"]: (part["state"], part["problems"]) for part in run["parts"]} == dict.fromkeys(
        PARTS, ("completed", [])
    )


def test_every_recipe_was_measured(rows: dict[str, dict[str, dict[str, Any]]]) -> None:
    assert {part: list(each) for part, each in rows.items()} == PARTS
    for row in (row for each in rows.values() for row in each.values()):
        assert row["latency"]["n"] > 0
        codes = {reason["code"] for reason in row["verdict"]["reasons"]}
        assert codes.isdisjoint({"golden_mismatch", "load_failed", "evaluation_failed", "outputs_unscored"})


def test_a_device_scores_as_the_coordinator_does(rows: dict[str, dict[str, dict[str, Any]]]) -> None:
    # A quick run scores a language model by half of its windows, and the pedestrians have no labels.
    for part in ("cifar10-resnet", "char-lstm", "digits-vae"):
        for recipe, row in rows[part].items():
            quality = row["quality"]
            assert quality["value"] == pytest.approx(quality["coordinator_value"], rel=0.01), (part, recipe)


def test_quality_is_what_these_models_are_known_for(rows: dict[str, dict[str, dict[str, Any]]]) -> None:
    def value(part: str, recipe: str) -> float:
        return float(rows[part][recipe]["quality"]["value"])

    # Twenty pictures: one is five points.
    assert value("cifar10-resnet", "float32") >= 0.8
    assert abs(value("cifar10-resnet", "int8") - value("cifar10-resnet", "float32")) <= 0.051
    # Bits a character: 2.28 of the float32 network, and close to it with rounded weights.
    assert value("char-lstm", "float32") == pytest.approx(2.28, abs=0.02)
    assert value("char-lstm", "dynamic") == pytest.approx(value("char-lstm", "float32"), abs=0.05)
    # Perplexity: four bits cost more than eight.
    assert 25 < value("smollm2", "q8_0") < value("smollm2", "q4_0") < 60


def test_int8_is_a_quarter_and_its_boxes_stay(rows: dict[str, dict[str, dict[str, Any]]]) -> None:
    int8 = rows["ssdlite-pedestrian"]["int8"]
    assert 0.2 < int8["size_bytes"] / rows["ssdlite-pedestrian"]["float32"]["size_bytes"] < 0.35
    assert int8["quality"]["agreement"] > 0.9


def test_a_second_run_makes_nothing_again(run: dict[str, Any], desk: Desk) -> None:
    again = desk.json(RUN + SHORT)
    assert [part["reused"] for part in again["parts"]] == [True] * len(PARTS)
    assert [part["study_id"] for part in again["parts"]] == [part["study_id"] for part in run["parts"]]


def test_the_report_has_every_part(run: dict[str, Any], desk: Desk) -> None:
    desk.ok(f"edgemeter report {run['name']} -o report.html")
    page = (desk.folder / "report.html").read_text()
    for part in PARTS:
        assert f"compression-quick/{part}" in page
