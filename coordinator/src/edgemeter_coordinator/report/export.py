"""Results as JSON and CSV, by the keys that docs/results.md explains and result.schema.json holds.

A value that was not measured is None (null), never 0: the contract's zero means "absent" wherever a
real measurement cannot be zero.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

from edgemeter_coordinator.report.numbers import bits_per_weight
from edgemeter_protos.v1 import device_pb2, lab_pb2, plan_pb2, result_pb2

Exported = dict[str, Any]
"""One variant on one device: nested dicts of JSON's types."""

SCENARIOS: Mapping[int, str] = {plan_pb2.SCENARIO_SINGLE_STREAM: "single-stream"}
ENERGY_STATUSES: Mapping[int, str] = {
    result_pb2.ENERGY_STATUS_NO_METER: "no_meter",
    result_pb2.ENERGY_STATUS_MEASURED: "measured",
}
VERDICTS: Mapping[int, str] = {
    result_pb2.VERDICT_STATE_VALID: "valid",
    result_pb2.VERDICT_STATE_DEGRADED: "degraded",
    result_pb2.VERDICT_STATE_VOID: "void",
}

# Latency's fields that go out under their own names; None where the whole message is absent.
LATENCY_NUMBERS = ("p50_ns", "p90_ns", "p99_ns", "mean_ns", "min_ns")
SNAPSHOT_NUMBERS = (
    "frequency_hz",
    "temperature_millicelsius",
    "throttled_bits",
    "throttle_events",
    "psi_cpu_some_us",
    "cpu_busy_ns",
    "cpu_steal_ns",
    "load_average_1m",
    "process_cpu_ns",
    "run_delay_ns",
    "involuntary_switches",
)
CONDITION_NUMBERS = (
    "frequency_min_hz",
    "frequency_max_hz",
    "temperature_max_millicelsius",
    "contention_share",
    "steal_share",
    "psi_share",
    "run_delay_share",
    "involuntary_switches",
)
# Columns that a spreadsheet gets as JSON text, since their length differs from row to row.
OPEN_COLUMNS = ("conditions.void_reasons", "conditions.unreadable", "verdict.reasons")


# Columns that a spreadsheet gets twice, as low and high.
PAIRS = ("latency.ci95_ns", "quality.ci95")


def exported(responses: Iterable[lab_pb2.ListResultsResponse]) -> list[Exported]:
    """One object a variant and device, in the order given."""
    return [_exported(response) for response in responses]


def as_json(objects: Iterable[Exported]) -> str:
    """The export file: a JSON array, ending in a newline."""
    return json.dumps(list(objects), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_csv(objects: Iterable[Exported]) -> str:
    """The same flat: a header of dotted names, then a line a result; null is an empty cell.

    The columns are the same for every study, also for one without results.
    """
    columns = list(flattened(_exported(lab_pb2.ListResultsResponse())))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flattened(each) for each in objects)
    return text.getvalue()


def flattened(each: Exported) -> dict[str, Any]:
    """Dotted column name to cell. Each of PAIRS becomes two columns, `.low` and `.high`."""
    cells: dict[str, Any] = {}
    _flatten(each, "", cells)
    return cells


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of an export file."""
    text = resources.files(__package__).joinpath("result.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _exported(response: lab_pb2.ListResultsResponse) -> Exported:
    manifest, result = response.manifest, response.result
    return {
        "study": response.study.name,
        "device": _device(response.device),
        "model": response.study.model_name,
        "recipe": manifest.recipe,
        "format": manifest.format,
        "runtime": f"{result.runtime.name} {result.runtime.version}".strip() or None,
        "size_bytes": manifest.size_bytes,
        "compressed_bytes": manifest.compressed_size_bytes,
        "parameters": manifest.parameters,
        "non_zero_parameters": manifest.non_zero_parameters,
        "macs": manifest.macs or None,
        "bits_per_weight": bits_per_weight(manifest),
        "quality": _quality(response),
        "latency": _latency(result),
        "cold": {
            "load_ns": result.cold.load_ns or None,
            "first_inference_ns": result.cold.first_inference_ns or None,
        },
        "energy": {
            "status": ENERGY_STATUSES.get(result.energy.status, "not_measured"),
            "detail": result.energy.detail,
        },
        "peak_rss_bytes": result.peak_rss_bytes or None,
        "harness_overhead_ns": result.harness_overhead_ns or None,
        "conditions": _conditions(result.conditions),
        "verdict": {
            "state": VERDICTS.get(result.verdict.state, "void"),
            "reasons": [{"code": reason.code, "detail": reason.detail} for reason in result.verdict.reasons],
        },
    }


def _device(device: lab_pb2.Device) -> Exported:
    return {
        "id": device.id,
        "name": device.name,
        "board": device.facts.board,
        "arch": device.facts.arch,
        "emulated": device.facts.emulated,
    }


def _quality(response: lab_pb2.ListResultsResponse) -> Exported:
    manifest, on_device = response.manifest, response.device_quality
    measured = response.HasField("device_quality") and on_device.samples > 0
    on_coordinator, error = manifest.HasField("quality"), manifest.output_error
    return {
        "metric": on_device.metric or manifest.quality.metric or response.baseline_quality.metric or None,
        "value": on_device.value if measured else None,
        "n": on_device.samples if measured else None,
        "ci95": [on_device.ci95_low, on_device.ci95_high]
        if measured and on_device.HasField("ci95_low") and on_device.HasField("ci95_high")
        else None,
        "coordinator_value": manifest.quality.value if on_coordinator else None,
        "baseline_value": response.baseline_quality.value if response.HasField("baseline_quality") else None,
        "agreement": manifest.agreement.value if manifest.HasField("agreement") else None,
        "output_error_max": error.max_absolute if manifest.HasField("output_error") else None,
        "sqnr_db": error.sqnr_db if error.HasField("sqnr_db") else None,
    }


def _latency(result: result_pb2.Result) -> Exported:
    latency = result.latency
    timed = latency.samples > 0
    bounded = timed and latency.ci95_high_ns > 0
    return {
        "scenario": SCENARIOS.get(latency.scenario or result.plan.scenario),
        "n": latency.samples or None,
        "batch_queries": latency.batch_queries or None,
        **{name: getattr(latency, name) if timed else None for name in LATENCY_NUMBERS},
        "ci95_ns": [latency.ci95_low_ns, latency.ci95_high_ns] if bounded else None,
        "outliers": latency.outliers if timed else None,
    }


def _conditions(conditions: result_pb2.Conditions) -> Exported:
    return {
        "blocks_kept": conditions.blocks_kept,
        "blocks_voided": conditions.blocks_voided,
        "void_reasons": dict(sorted(conditions.void_reasons.items())),
        **{name: _present(conditions, name) for name in CONDITION_NUMBERS},
        "governor": conditions.governor or None,
        "settled_after_ns": conditions.settled_after_ns,
        "before": _snapshot(conditions.before),
        "after": _snapshot(conditions.after),
        "unreadable": [_observable(each) for each in conditions.unreadable],
    }


def _snapshot(snapshot: result_pb2.Snapshot) -> Exported:
    return {
        "monotonic_ns": snapshot.monotonic_ns or None,
        **{name: _present(snapshot, name) for name in SNAPSHOT_NUMBERS},
        "governor": snapshot.governor or None,
    }


def _observable(observable: device_pb2.Observable) -> Exported:
    return {"name": observable.name, "detail": observable.detail}


def _present(message: result_pb2.Conditions | result_pb2.Snapshot, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None  # type: ignore[arg-type]


def _flatten(value: Any, name: str, cells: dict[str, Any]) -> None:
    if name in OPEN_COLUMNS:
        cells[name] = json.dumps(value, ensure_ascii=False) if value else ""
    elif name in PAIRS:
        cells[f"{name}.low"], cells[f"{name}.high"] = value or (None, None)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _flatten(inner, f"{name}.{key}" if name else key, cells)
    else:
        cells[name] = value
