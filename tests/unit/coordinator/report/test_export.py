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
from edgemeter_protos.report.onboard import ENERGY_COUNTS, ENERGY_NUMBERS
from edgemeter_protos.v1 import lab_pb2, variant_pb2
from tests.unit.coordinator.report.measured import measured, void_energy, writes_text
from tests.unit.coordinator.report.responses import full, nothing_measured

DOCUMENT = Path(__file__).parents[4] / "docs" / "results.md"

KEYS = {
    "study": None,
    "device": {"id", "name", "board", "arch", "emulated"},
    "model": None,
    "recipe": None,
    "format": None,
    "runtime": None,
    "ran_on": None,
    "plan": ...,
    "size_bytes": None,
    "compressed_bytes": None,
    "parameters": None,
    "non_zero_parameters": None,
    "macs": None,
    "bits_per_weight": None,
    "metrics": {"device", "coordinator"},
    "quality": {
        *("metric", "value", "n", "ci95", "coordinator_value", "baseline_value"),
        *("agreement", "output_error_max", "sqnr_db"),
    },
    "latency": {
        *("scenario", "n", "batch_queries", "batch_size", "samples_per_query"),
        *("p50_ns", "p90_ns", "p99_ns", "mean_ns", "min_ns", "max_ns", "ci95_ns", "percentiles", "outliers"),
    },
    "throughput": {"samples_per_s", "ci95"},
    "serving": {
        *("target_qps", "achieved_qps", "queueing_p50_ns", "queueing_p99_ns", "most_in_flight"),
        *("bound_held", "highest_qps", "probes"),
    },
    "text_speed": {
        *("prompt_tokens", "new_tokens", "generations", "ttft_p50_ns", "ttft_p50_ci95_ns", "ttft_p90_ns"),
        *("ttft_p90_ci95_ns", "decode_tokens_per_s", "decode_ci95", "prefill_tokens_per_s"),
    },
    "comparison": {"baseline_recipe", "ratio", "ci95", "p_value", "outcome", "pairs"},
    "cold": {"load_ns", "first_inference_ns", "processes", "load_max_ns", "first_inference_max_ns"},
    "energy": ...,
    "peak_rss_bytes": None,
    "memory": {"peak_rss_bytes", "empty_peak_rss_bytes", "model_bytes", "arena_bytes", "arena_detail"},
    "operators": {"unavailable", "source", "queries", "query_ns", "operators"},
    "sustained": {
        *("duration_ns", "points", "slowed_after_ns", "slowed_because", "first_p50_ns", "last_p50_ns"),
    },
    "raw": {"samples_digest", "outputs_digest", "trace_digest"},
    "harness_overhead_ns": None,
    "conditions": ...,
    "verdict": {"state", "reasons"},
}


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(measured(), id="all measured"),
        pytest.param(void_energy(), id="a meter that froze"),
        pytest.param(writes_text(), id="a language model"),
        pytest.param(full(), id="what an earlier agent measured"),
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
    assert (each["energy"]["status"], each["energy"]["detail"]) == ("no_meter", "no meter here")
    assert (each["latency"]["batch_size"], each["latency"]["max_ns"]) == (1, None)
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
    assert {value for name, value in each["latency"].items() if name != "percentiles"} == {None}
    assert each["latency"]["percentiles"] == []
    assert set(each["cold"].values()) == {None}
    assert each["quality"]["value"] is None
    assert each["quality"]["n"] is None
    assert each["quality"]["coordinator_value"] == 0.97
    nulls = ("runtime", "ran_on", "plan", "peak_rss_bytes", "harness_overhead_ns")
    assert [each[key] for key in nulls] == [None] * 5
    for key in ("throughput", "serving", "comparison", "memory", "operators", "sustained", "raw"):
        assert {str(value) for value in each[key].values()} <= {"None", "[]"}, key
    energy = each["energy"]
    assert {energy[key] for key in (*ENERGY_NUMBERS, *ENERGY_COUNTS, "method", "lag_rule")} == {None}
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
        (("energy", "status"), "estimated"),  # there is no such thing
        (("comparison", "outcome"), "better"),  # an outcome that nobody can read
        (("plan", "threads"), 0),  # no plan has that
        (("sustained", "points"), None),  # none is an empty list
        (("verdict", "surprise"), 1),  # an unknown key
        (("size_bytes",), None),  # always known
    ],
)
def test_the_schema_refuses(path: tuple[str, ...], value: Any) -> None:
    (each,) = export.exported([measured()])
    inner = each
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate([each], export.schema())


def test_all_that_was_measured_goes_out() -> None:
    (each,) = export.exported([measured()])
    assert each["plan"]["profile"] == "standard"
    assert each["plan"]["scenario"] == "server"
    assert each["plan"]["affinity_cpus"] == [2, 3]
    assert each["plan"]["target_qps"] is None
    assert each["ran_on"] == "CPU (XNNPACK)"
    assert each["latency"]["percentiles"][1] == {
        "percent": 99.9,
        "value_ns": 880,
        "ci95_low_ns": 700,
        "ci95_high_ns": None,
        "early_stopping_ns": None,
    }
    assert each["throughput"] == {"samples_per_s": 1960, "ci95": [1950, 1970]}
    # Nobody waited: that is 0, as long as it was measured.
    assert (each["serving"]["queueing_p50_ns"], each["serving"]["bound_held"]) == (0, True)
    assert each["comparison"] == {
        "baseline_recipe": "float32@tflite",
        "ratio": 0.5,
        "ci95": [0.47, 0.53],
        "p_value": 0.0004,
        "outcome": "faster",
        "pairs": 12,
    }
    energy = each["energy"]
    assert (energy["gross_uj_per_inference"], energy["net_uncertainty_uj"]) == (5000, 80)
    assert energy["meter"]["calibrated_gain"] == 1.003
    assert energy["rails"][1] == {"name": "VDD_SOC", "mean_mw": 900, "in_total": False}
    assert each["memory"]["model_bytes"] == 4_000_000
    assert each["operators"]["operators"][0]["ran_on"] == "CPU"
    assert each["sustained"]["slowed_because"] == "throttled"
    assert each["sustained"]["points"][3]["temperature_millicelsius"] is None
    assert each["conditions"]["changes"] == ["power mode 25W, then 15W"]
    before = each["conditions"]["before"]
    # Off, which is not the same as unknown.
    assert (before["boost"], before["power_mode"]) == (False, "25W")
    assert each["conditions"]["after"]["boost"] is None
    assert each["raw"] == {"samples_digest": "a" * 64, "outputs_digest": None, "trace_digest": "c" * 64}


def test_what_a_frozen_meter_said_is_evidence_only() -> None:
    (each,) = export.exported([void_energy()])
    energy = each["energy"]
    assert (energy["status"], energy["void_reasons"]) == ("void", {"meter_stuck": 5})
    assert (energy["windows_kept"], energy["windows_voided"]) == (0, 5)
    assert energy["gross_uj_per_inference"] == 4000
    assert energy["net_uj_per_inference"] is None
    assert energy["mean_power_mw"] is None


def test_net_energy_needs_idle() -> None:
    response = measured()
    response.result.energy.idle_before_mw = response.result.energy.idle_after_mw = 0
    response.result.energy.net_uj_per_inference = 0
    (each,) = export.exported([response])
    assert (each["energy"]["net_uj_per_inference"], each["energy"]["net_uncertainty_uj"]) == (None, None)
    assert each["energy"]["gross_uj_per_inference"] == 5000


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
    text = export.as_csv(export.exported([full(), nothing_measured(), measured()]))
    assert text.splitlines()[0] == header
    first, second, third = csv.DictReader(io.StringIO(text))
    assert third["plan.scenario"] == "server"
    assert json.loads(third["plan.affinity_cpus"]) == [2, 3]
    assert (third["comparison.ci95.low"], third["energy.net_uj_per_inference"]) == ("0.47", "2000.0")
    assert json.loads(third["sustained.points"])[0]["queries"] == 900
    assert json.loads(third["conditions.before.clocks_hz"]) == {"policy0": 1_800_000_000}
    assert (second["plan.threads"], second["energy.net_uj_per_inference"]) == ("", "")
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


def test_an_infinite_metric_is_null_in_valid_json() -> None:
    response = full()
    response.device_metrics.append(
        variant_pb2.Quality(
            metric="perplexity",
            value=float("inf"),
            samples=10,
            ci95_low=5.0,
            ci95_high=float("inf"),
            against="labels",
            lower_is_better=True,
        )
    )
    response.device_quality.CopyFrom(response.device_metrics[0])
    (one,) = json.loads(export.as_json(export.exported([response])))
    jsonschema.validate([one], export.schema())
    assert one["quality"]["value"] is None
    assert one["metrics"]["device"][0]["value"] is None
    assert one["metrics"]["device"][0]["ci95"] is None


def test_how_fast_a_text_is_written() -> None:
    each, other = export.exported([writes_text(), measured()])
    speed = each["text_speed"]
    assert (speed["prompt_tokens"], speed["new_tokens"], speed["generations"]) == (64, 48, 12)
    assert (speed["ttft_p50_ns"], speed["ttft_p50_ci95_ns"]) == (3e8, [2.9e8, 3.1e8])
    assert (speed["ttft_p90_ns"], speed["ttft_p90_ci95_ns"]) == (3.5e8, [3.2e8, None])
    assert (speed["decode_tokens_per_s"], speed["decode_ci95"]) == (46.0, [45.0, 47.0])
    assert each["energy"]["sample_noun"] == "token"
    assert set(other["text_speed"].values()) == {None}
    assert other["energy"]["sample_noun"] == "inference"
    cells = export.flattened(each)
    assert (cells["text_speed.ttft_p90_ci95_ns.low"], cells["text_speed.ttft_p90_ci95_ns.high"]) == (
        3.2e8,
        None,
    )
    assert list(cells) == export.columns()
