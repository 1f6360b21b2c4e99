"""Results as a table and as JSON, with the keys that the coordinator's exports have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict

from edgemeter_protos.v1 import plan_pb2, result_pb2

MIB = 1024 * 1024

_STATES = {
    result_pb2.VERDICT_STATE_VALID: "valid",
    result_pb2.VERDICT_STATE_DEGRADED: "degraded",
    result_pb2.VERDICT_STATE_VOID: "void",
}
_ENERGY = {result_pb2.ENERGY_STATUS_NO_METER: "no_meter", result_pb2.ENERGY_STATUS_MEASURED: "measured"}
_SCENARIOS = {plan_pb2.SCENARIO_SINGLE_STREAM: "single-stream"}

TEXTS = ("governor", "name", "detail", "power_mode", "changes")
"""Fields of the conditions that are no numbers."""

HEADER = ("model", "size", "p50", "p90", "p99", "vs first", "load", "first run", "peak memory", "verdict")


def as_json(name: str, size_bytes: int, result: result_pb2.Result) -> dict[str, Any]:
    return {
        "model": name,
        "size_bytes": size_bytes,
        "runtime": {"name": result.runtime.name, "version": result.runtime.version},
        "profile": result.plan.profile,
        "latency": _latency(result.latency) if result.HasField("latency") else None,
        "cold": {"load_ns": result.cold.load_ns, "first_inference_ns": result.cold.first_inference_ns}
        if result.HasField("cold")
        else None,
        "energy": {"status": _ENERGY[result.energy.status], "detail": result.energy.detail},
        "peak_rss_bytes": result.peak_rss_bytes,
        "harness_overhead_ns": result.harness_overhead_ns,
        "conditions": _conditions(result.conditions),
        "verdict": {
            "state": _STATES[result.verdict.state],
            "reasons": [{"code": one.code, "detail": one.detail} for one in result.verdict.reasons],
        },
    }


def as_table(names: Sequence[str], sizes_bytes: Sequence[int], results: Sequence[result_pb2.Result]) -> str:
    """The first model is the baseline of the column "vs first"."""
    rows = [HEADER]
    for name, size_bytes, result in zip(names, sizes_bytes, results, strict=True):
        timed, cold = result.HasField("latency"), result.HasField("cold")
        rows.append(
            (
                name,
                f"{size_bytes / 1024:.1f} KiB",
                duration(result.latency.p50_ns) if timed else "-",
                duration(result.latency.p90_ns) if timed else "-",
                duration(result.latency.p99_ns) if timed else "-",
                compared(results[0], result),
                duration(result.cold.load_ns) if cold else "-",
                duration(result.cold.first_inference_ns) if cold else "-",
                f"{result.peak_rss_bytes / MIB:.1f} MiB" if result.peak_rss_bytes else "-",
                _STATES[result.verdict.state],
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    for name, result in zip(names, results, strict=True):
        lines += [f"{name}: {reason.code}: {reason.detail}" for reason in result.verdict.reasons]
    return "\n".join(lines)


def compared(first: result_pb2.Result, other: result_pb2.Result) -> str:
    """Quotient of the medians; no quotient where the two intervals overlap, which is a cautious test."""
    if first is other or not first.HasField("latency") or not other.HasField("latency"):
        return "-"
    a, b = first.latency, other.latency
    if a.ci95_low_ns <= b.ci95_high_ns and b.ci95_low_ns <= a.ci95_high_ns:
        return "cannot tell"
    return f"x{b.p50_ns / a.p50_ns:.2f}"


def duration(ns: float) -> str:
    """Three digits and a unit: "6.57 us"."""
    for unit, factor in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        # From where three digits round up to it.
        if ns >= 0.9995 * factor:
            return f"{ns / factor:.3g} {unit}" if ns < 1000 * factor else f"{ns / factor:.0f} {unit}"
    return f"{ns:.0f} ns"


def _latency(latency: result_pb2.Latency) -> dict[str, Any]:
    return {
        "scenario": _SCENARIOS[latency.scenario],
        "n": latency.samples,
        "batch_queries": latency.batch_queries,
        "p50_ns": latency.p50_ns,
        "p90_ns": latency.p90_ns,
        "p99_ns": latency.p99_ns,
        "mean_ns": latency.mean_ns,
        "min_ns": latency.min_ns,
        "max_ns": latency.max_ns,
        "ci95_ns": [latency.ci95_low_ns, latency.ci95_high_ns],
        "outliers": latency.outliers,
    }


def _conditions(conditions: result_pb2.Conditions) -> dict[str, Any]:
    """As the message has them; what could not be read is absent. 64-bit numbers stay numbers."""
    plain: dict[str, Any] = _numbers(MessageToDict(conditions, preserving_proto_field_name=True))
    return plain


def _numbers(value: Any, key: str = "") -> Any:
    """protobuf's JSON writes 64-bit integers as text."""
    if isinstance(value, dict):
        return {name: _numbers(part, name) for name, part in value.items()}
    if isinstance(value, list):
        return [_numbers(part, key) for part in value]
    if isinstance(value, str) and key not in TEXTS:
        return int(value)
    return value
