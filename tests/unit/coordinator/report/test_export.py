"""Exports have the documented keys, hold to their schema, and never say 0 for what was not measured."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edgemeter_coordinator.report import export
from edgemeter_protos.v1 import lab_pb2
from tests.unit.coordinator.report.responses import full, nothing_measured

DOCUMENT = Path(__file__).parents[4] / "docs" / "results.md"

KEYS = {
    "study": None,
    "device": {"id", "name", "board", "arch", "emulated"},
    "model": None,
    "recipe": None,
    "format": None,
    "runtime": None,
    "size_bytes": None,
    "compressed_bytes": None,
    "parameters": None,
    "non_zero_parameters": None,
    "macs": None,
    "bits_per_weight": None,
    "quality": {
        *("metric", "value", "n", "ci95", "coordinator_value", "baseline_value"),
        *("agreement", "output_error_max", "sqnr_db"),
    },
    "latency": {
        *("scenario", "n", "batch_queries", "p50_ns", "p90_ns", "p99_ns", "mean_ns", "min_ns", "ci95_ns"),
        "outliers",
    },
    "cold": {"load_ns", "first_inference_ns"},
    "energy": {"status", "detail"},
    "peak_rss_bytes": None,
    "harness_overhead_ns": None,
    "conditions": ...,
    "verdict": {"state", "reasons"},
}


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(full(), id="all measured"),
        pytest.param(nothing_measured(), id="nothing measured"),
        pytest.param(lab_pb2.ListResultsResponse(), id="an empty message"),
    ],
)
def test_keys_are_always_the_same(response: lab_pb2.ListResultsResponse) -> None:
    (each,) = export.exported([response])
    assert set(each) == set(KEYS)
    for key, inner in KEYS.items():
        if isinstance(inner, set):
            assert set(each[key]) == inner
    jsonschema.validate([each], export.schema())


def test_a_full_result() -> None:
    (each,) = export.exported([full(p50_ns=1000.0)])
    assert each["runtime"] == "litert 2.3.0"
    assert (each["non_zero_parameters"], each["macs"], each["bits_per_weight"]) == (250, 80_000, 16.0)
    assert each["quality"] == {
        "metric": "top1",
        "value": 0.96,
        "n": 100,
        "ci95": [0.9, 0.98],
        "coordinator_value": 0.97,
        "baseline_value": 0.97,
        "agreement": 0.99,
        "output_error_max": 0.25,
        "sqnr_db": 21.5,
    }
    assert each["latency"]["n"] == 256
    assert each["latency"]["ci95_ns"] == [990.0, 1020.0]
    assert each["energy"] == {"status": "no_meter", "detail": "no meter here"}
    # Read, and none: that is 0. Not read: that is null.
    assert each["conditions"]["contention_share"] == 0.0
    assert each["conditions"]["before"]["involuntary_switches"] == 0
    assert each["conditions"]["steal_share"] is None
    assert each["conditions"]["before"]["temperature_millicelsius"] is None
    assert each["verdict"] == {
        "state": "degraded",
        "reasons": [{"code": "contention", "detail": "others ran"}],
    }


def test_what_was_not_measured_is_null() -> None:
    (each,) = export.exported([nothing_measured()])
    assert set(each["latency"].values()) == {None}
    assert set(each["cold"].values()) == {None}
    assert each["quality"]["value"] is None
    assert each["quality"]["n"] is None
    assert each["quality"]["coordinator_value"] == 0.97
    nulls = ("runtime", "peak_rss_bytes", "harness_overhead_ns")
    assert [each[key] for key in nulls] == [None] * 3
    assert each["energy"]["status"] == "not_measured"
    assert each["verdict"]["state"] == "void"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("latency", "p50_ns"), "fast"),  # another type
        (("latency", "p50_ns"), -1),  # no duration
        (("latency", "ci95_ns"), [1.0]),  # an interval has two ends
        (("cold", "load_ns"), 0),  # not measured is null
        (("verdict", "state"), "fine"),  # no such state
        (("verdict", "surprise"), 1),  # an unknown key
        (("size_bytes",), None),  # always known
    ],
)
def test_the_schema_refuses(path: tuple[str, ...], value: Any) -> None:
    (each,) = export.exported([full()])
    inner = each
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate([each], export.schema())


def test_the_schema_is_itself_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(export.schema())


def documented() -> set[str]:
    """First cells of the document's tables."""
    return set(re.findall(r"^\| `([a-z0-9_.]+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE))


def schema_keys(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Paths of what is no object itself; snapshots are documented once."""
    for key, inner in schema.get("properties", {}).items():
        path = f"{prefix}{key}"
        if inner.get("properties"):
            yield from schema_keys(inner, f"{path}.")
            continue
        yield path
        yield from schema_keys(inner.get("items") or {}, f"{path}.")


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    definitions = export.schema()["$defs"]
    keys = {*schema_keys(definitions["result"]), *schema_keys(definitions["snapshot"])}
    assert keys == documented()


def test_csv_has_the_same_columns_for_every_study() -> None:
    header = export.as_csv([]).splitlines()[0]
    text = export.as_csv(export.exported([full(), nothing_measured()]))
    assert text.splitlines()[0] == header
    first, second = csv.DictReader(io.StringIO(text))
    assert first["latency.ci95_ns.low"] == "990.0"
    assert (first["quality.ci95.low"], first["quality.ci95.high"]) == ("0.9", "0.98")
    assert first["device.name"] == "pi-a"
    assert first["conditions.before.frequency_hz"] == "1500000000"
    assert json.loads(first["verdict.reasons"]) == [{"code": "contention", "detail": "others ran"}]
    assert json.loads(first["conditions.void_reasons"]) == {"contention": 1}
    assert second["latency.p50_ns"] == ""
    assert second["latency.ci95_ns.low"] == ""


def test_json_is_an_array() -> None:
    objects = export.exported([full()])
    assert json.loads(export.as_json(objects)) == objects
    assert json.loads(export.as_json([])) == []
