"""The README's commands, typed in order, with real processes."""

from __future__ import annotations

import csv
import io
import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.desk import Desk

pytestmark = [pytest.mark.slow, pytest.mark.needs_tensorflow]

RECIPES = ["float32", "float16", "dynamic", "int8", "int16x8"]


@pytest.fixture(scope="module")
def rows(office: Desk, material: Path) -> list[dict[str, Any]]:
    """The five variants measured on one board."""
    recipes = " ".join(f"--recipe {recipe}" for recipe in RECIPES)
    benched = office.json(
        f"edgemeter bench {material / 'stripes.keras'} --data {material / 'stripes.npz'} {recipes}"
        " --device rack=a --profile quick --name first"
    )
    assert isinstance(benched, list)
    return benched


def test_all_variants_come_back_measured(rows: list[dict[str, Any]]) -> None:
    assert [row["recipe"].split("@")[0] for row in rows] == RECIPES
    for row in rows:
        assert row["format"] == "tflite"
        assert row["latency"]["n"] >= 64
        assert 0 < row["latency"]["min_ns"] <= row["latency"]["p50_ns"] <= row["latency"]["p90_ns"]
        assert row["latency"]["p90_ns"] <= row["latency"]["p99_ns"]
        low, high = row["latency"]["ci95_ns"]
        assert low <= row["latency"]["p50_ns"] <= high
        assert row["cold"]["load_ns"] > 0
        assert row["cold"]["first_inference_ns"] > 0
        assert row["peak_rss_bytes"] > 10_000_000
        assert 0 < row["harness_overhead_ns"] < 100_000
        assert row["energy"]["status"] == "no_meter"
        assert row["verdict"]["state"] in {"valid", "degraded", "void"}


def test_quality_is_real_on_both_sides(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        quality = row["quality"]
        assert quality["metric"] == "top1"
        assert quality["n"] == 200
        # The net separates the stripes; a broken conversion would be at a third.
        assert quality["value"] > 0.9
        assert quality["value"] == pytest.approx(quality["coordinator_value"], abs=0.01)
        assert quality["baseline_value"] == rows[0]["quality"]["coordinator_value"]


def test_neither_coordinator_nor_agent_holds_a_framework(rows: list[dict[str, Any]], office: Desk) -> None:
    """Converting and running are for processes of their own, which may die."""
    assert rows
    for process in office.started[:2]:
        mapped = Path(f"/proc/{process.pid}/maps").read_text()
        assert "grpc" in mapped
        for library in ("tensorflow", "torch", "onnxruntime", "ai_edge_litert"):
            assert f"/{library}/" not in mapped


def test_sizes_tell_the_compression(rows: list[dict[str, Any]]) -> None:
    size = {row["recipe"].split("@")[0]: row["size_bytes"] for row in rows}
    assert len(set(size.values())) == len(RECIPES)
    assert all(row["compressed_bytes"] < row["size_bytes"] for row in rows)
    assert all(row["parameters"] == 1299 for row in rows)


def test_exports_follow_the_published_schema(rows: list[dict[str, Any]], office: Desk) -> None:
    exported = json.loads(office.ok("edgemeter result export first --format json"))
    assert exported == rows
    text = resources.files("edgemeter_coordinator.report").joinpath("result.schema.json").read_text()
    schema = json.loads(text)
    jsonschema.Draft202012Validator(schema).validate(exported)
    table = list(csv.DictReader(io.StringIO(office.ok("edgemeter result export first --format csv"))))
    assert [line["recipe"] for line in table] == [row["recipe"] for row in rows]
    assert float(table[0]["latency.p50_ns"]) == rows[0]["latency"]["p50_ns"]


def test_a_second_study_converts_nothing(rows: list[dict[str, Any]], office: Desk) -> None:
    planned = office.json(
        "edgemeter bench stripes --data stripes --recipe float32 --recipe int8 --device all --dry-run"
    )
    assert [variant["reused"] for variant in planned["variants"]] == [True, True]
    again = office.json(
        "edgemeter bench stripes --data stripes --recipe float32 --recipe int8 --device desk"
        " --profile quick --name second"
    )
    assert len(again) == 2
    assert all(variant["reused"] for variant in office.study("second")["variants"])


def test_lists_know_what_happened(rows: list[dict[str, Any]], office: Desk) -> None:
    assert [model["name"] for model in office.json("edgemeter model ls")] == ["stripes"]
    assert "first" in {study["name"] for study in office.json("edgemeter study ls")}
    device = office.json("edgemeter device ls")[0]
    assert device["labels"] == {"rack": "a"}
    assert {runtime["name"] for runtime in device["facts"]["runtimes"]} >= {"litert"}
    assert {recipe["text"] for recipe in office.json("edgemeter recipe ls")} >= set(RECIPES)
    shown = office.study("first")
    assert shown["state"] == "completed"
    assert [job["attempt"] for job in shown["jobs"]] == [1]


def test_people_get_tables(rows: list[dict[str, Any]], office: Desk) -> None:
    shown = office.ok("edgemeter study show first")
    for recipe in RECIPES:
        assert recipe in shown
    assert "desk" in office.ok("edgemeter device ls")


def test_service_holds_no_framework(rows: list[dict[str, Any]], office: Desk) -> None:
    """The service converted models in workers: its own process maps no TensorFlow."""
    service = office.started[0]
    maps = Path(f"/proc/{service.pid}/maps").read_text()
    assert "tensorflow" not in maps
