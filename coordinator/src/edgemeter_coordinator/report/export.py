"""Results as JSON and CSV, by the keys that docs/results.md explains and result.schema.json holds.

A value that was not measured is None (null), never 0 (`report.absent`).
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable
from importlib import resources
from typing import Any

from edgemeter_coordinator.report.numbers import bits_per_weight, value_of
from edgemeter_protos import plans
from edgemeter_protos.report.absent import Exported
from edgemeter_protos.report.measured import measured
from edgemeter_protos.v1 import lab_pb2, result_pb2, variant_pb2

# Columns that a spreadsheet gets as JSON text, since their length differs from row to row.
OPEN_COLUMNS = (
    "metrics.device",
    "metrics.coordinator",
    "plan.affinity_cpus",
    "latency.percentiles",
    "serving.probes",
    "energy.meter.rails",
    "energy.void_reasons",
    "energy.rails",
    "energy.uncertainty_parts_uj",
    "operators.operators",
    "sustained.points",
    "conditions.void_reasons",
    "conditions.cpus",
    "conditions.changes",
    "conditions.before.zones_millicelsius",
    "conditions.before.clocks_hz",
    "conditions.after.zones_millicelsius",
    "conditions.after.clocks_hz",
    "conditions.unreadable",
    "verdict.reasons",
)

# Columns that a spreadsheet gets twice, as low and high.
PAIRS = (
    "latency.ci95_ns",
    "throughput.ci95",
    "text_speed.ttft_p50_ci95_ns",
    "text_speed.ttft_p90_ci95_ns",
    "text_speed.decode_ci95",
    "comparison.ci95",
    "quality.ci95",
)


def exported(responses: Iterable[lab_pb2.ListResultsResponse]) -> list[Exported]:
    """One object a variant and device, in the order given."""
    return [_finite(_exported(response)) for response in responses]


def _finite(value: Any) -> Any:
    """JSON has no infinity, which a metric may be (the perplexity of a text that a model gives no chance):
    null, and so is an interval with such an end."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        known = all(math.isfinite(each) for each in value if isinstance(each, float))
        return [_finite(each) for each in value] if known else None
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_json(objects: Iterable[Exported]) -> str:
    """The export file: a JSON array, ending in a newline."""
    return json.dumps(list(objects), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_csv(objects: Iterable[Exported]) -> str:
    """The same flat: a header of dotted names, then a line a result; null is an empty cell.

    The columns are the same for every study, also for one without results.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flattened(each) for each in objects)
    return text.getvalue()


def columns() -> list[str]:
    """A spreadsheet's, in their order."""
    nothing = lab_pb2.ListResultsResponse(result=result_pb2.Result(plan=plans.resolve("quick")))
    return list(flattened(_exported(nothing)))


def flattened(each: Exported) -> dict[str, Any]:
    """Dotted column name to cell. Each of PAIRS becomes two columns, `.low` and `.high`."""
    cells: dict[str, Any] = {}
    _flatten(each, "", cells)
    # A result of which no plan is known leaves those cells empty.
    cells.pop("plan", None)
    return cells


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of an export file."""
    text = resources.files(__package__).joinpath("result.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _exported(response: lab_pb2.ListResultsResponse) -> Exported:
    manifest, result = response.manifest, response.result
    recipes = {variant.variant_id: variant.recipe for variant in response.study.variants}
    return {
        "study": response.study.name,
        "device": _device(response.device),
        "model": response.study.model_name,
        "recipe": manifest.recipe,
        "format": manifest.format,
        "size_bytes": manifest.size_bytes,
        "compressed_bytes": manifest.compressed_size_bytes,
        "parameters": manifest.parameters,
        "non_zero_parameters": manifest.non_zero_parameters,
        "macs": manifest.macs or None,
        "bits_per_weight": bits_per_weight(manifest),
        "quality": _quality(response),
        "metrics": {
            "device": [_metric(each) for each in response.device_metrics],
            "coordinator": [_metric(each) for each in manifest.metrics],
        },
        **measured(result, recipes),
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
        "coordinator_value": value_of(manifest.quality) if on_coordinator else None,
        "baseline_value": response.baseline_quality.value if response.HasField("baseline_quality") else None,
        "agreement": value_of(manifest.agreement) if manifest.HasField("agreement") else None,
        "output_error_max": error.max_absolute if manifest.HasField("output_error") else None,
        "sqnr_db": error.sqnr_db if error.HasField("sqnr_db") else None,
    }


def _metric(one: variant_pb2.Quality) -> Exported:
    return {
        "metric": one.metric,
        "value": value_of(one),
        "n": one.samples,
        "ci95": [one.ci95_low, one.ci95_high] if one.HasField("ci95_low") else None,
        "against": one.against,
        "lower_is_better": one.lower_is_better,
        "unscored_reason": one.unscored_reason or None,
    }


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
