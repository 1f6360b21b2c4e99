"""Results as a table, in full, and as JSON with the keys that the coordinator's exports have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgemeter_protos.report import detail, measured, onboard, units
from edgemeter_protos.v1 import plan_pb2, result_pb2

COMMON = ("model", "size", "p50", "p90", "p99", "vs first")
LAST = ("load", "first run", "peak memory", "verdict")

_ENERGY_STATES = (result_pb2.ENERGY_STATUS_MEASURED, result_pb2.ENERGY_STATUS_VOID)


def as_json(
    name: str, size_bytes: int, result: result_pb2.Result, names: Mapping[str, str]
) -> dict[str, Any]:
    """`names` are the models' by their ids."""
    return {"model": name, "size_bytes": size_bytes, **measured.measured(result, names)}


def as_table(names: Sequence[str], sizes_bytes: Sequence[int], results: Sequence[result_pb2.Result]) -> str:
    """The first model is the baseline of the column "vs first". A column of what no model has is left out."""
    columns = [
        (title(results) if callable(title) else title, text)
        for title, has, text in _SOMETIMES
        if any(map(has, results))
    ]
    header = (*COMMON, *(title for title, _ in columns), *LAST)
    rows = [header]
    for name, size_bytes, result in zip(names, sizes_bytes, results, strict=True):
        sometimes = [text(result) for _, text in columns]
        rows.append((name, units.human_bytes(size_bytes), *_latencies(result), *sometimes, *_last(result)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    for name, result in zip(names, results, strict=True):
        lines += [f"{name}: {reason.code}: {reason.detail}" for reason in result.verdict.reasons]
    return "\n".join(lines)


def as_details(documents: Sequence[dict[str, Any]]) -> str:
    """All that is known of each model, in sections."""
    lines: list[str] = []
    for document in documents:
        lines += [f"{document['model']}, {units.human_bytes(document['size_bytes'])}"]
        for section in detail.measured_sections(document):
            lines += [f"  {section.title}", *(f"    {line}" for line in section.lines)]
        lines.append("")
    return "\n".join(lines)


def _latencies(result: result_pb2.Result) -> tuple[str, ...]:
    timed, latency = result.HasField("latency"), result.latency
    return (
        *(units.human_ns(value if timed else None, "-") for value in _percentiles(latency)),
        compared(result),
    )


def _percentiles(latency: result_pb2.Latency) -> tuple[float, float, float]:
    return latency.p50_ns, latency.p90_ns, latency.p99_ns


def compared(result: result_pb2.Result) -> str:
    """ "0.29x (0.28-0.31)", from blocks that were measured beside the first model's; "cannot tell"."""
    comparison = result.comparison
    if not result.HasField("comparison"):
        return "-"
    if comparison.outcome == result_pb2.OUTCOME_CANNOT_TELL:
        return "cannot tell"
    return f"{comparison.ratio:.2f}x ({comparison.ci95_low:.2f}-{comparison.ci95_high:.2f})"


def _last(result: result_pb2.Result) -> tuple[str, ...]:
    cold = result.cold if result.HasField("cold") else None
    return (
        units.human_ns(cold.load_ns if cold else None, "-"),
        units.human_ns(cold.first_inference_ns if cold else None, "-"),
        units.human_bytes(result.peak_rss_bytes or None, "-"),
        measured.VERDICTS.get(result.verdict.state, "void"),
    )


def _energy(result: result_pb2.Result) -> str:
    """Net where the idle board was measured too; the half-width of its 95 % interval as a share."""
    energy = onboard.energy(result.energy)
    net = energy["net_uj_per_inference"] is not None
    value, half = (
        (energy["net_uj_per_inference"], energy["net_uncertainty_uj"])
        if net
        else (energy["gross_uj_per_inference"], energy["gross_uncertainty_uj"])
    )
    if energy["status"] != "measured" or value is None:
        return str(energy["status"]).replace("_", " ")
    return f"{units.human_uj(value)} {units.plus_minus(value, half)}{'' if net else ' gross'}".strip()


def _samples_per_s(result: result_pb2.Result) -> str:
    return units.human_rate(result.throughput.samples_per_s or None, "-")


def _queries_per_s(result: result_pb2.Result) -> str:
    serving = result.serving
    rate = serving.highest_qps if serving.HasField("highest_qps") else serving.achieved_qps
    return units.human_rate(rate if result.HasField("serving") else None, "-")


def _first_token(result: result_pb2.Result) -> str:
    speed = result.text_speed
    return units.human_ns(speed.ttft_p50.value_ns if result.HasField("text_speed") else None, "-")


def _tokens_per_s(result: result_pb2.Result) -> str:
    speed = result.text_speed
    if not result.HasField("text_speed") or not speed.decode_tokens_per_s:
        return "-"
    half = (speed.decode_ci95_high - speed.decode_ci95_low) / 2
    return (
        f"{units.human_rate(speed.decode_tokens_per_s)} {units.plus_minus(speed.decode_tokens_per_s, half)}"
    )


def _energy_title(results: Sequence[result_pb2.Result]) -> str:
    """ "energy/token"; where models differ in what one is, only "energy"."""
    nouns = {result.energy.sample_noun or "inference" for result in results if _has_energy(result)}
    return f"energy/{nouns.pop()}" if len(nouns) == 1 else "energy"


def _has_energy(result: result_pb2.Result) -> bool:
    return result.energy.status in _ENERGY_STATES


def _writes_text(result: result_pb2.Result) -> bool:
    return result.HasField("text_speed")


_SOMETIMES: tuple[
    tuple[
        str | Callable[[Sequence[result_pb2.Result]], str],
        Callable[[result_pb2.Result], bool],
        Callable[[result_pb2.Result], str],
    ],
    ...,
] = (
    ("first token", _writes_text, _first_token),
    ("tokens/s", _writes_text, _tokens_per_s),
    ("samples/s", lambda result: result.HasField("throughput"), _samples_per_s),
    ("queries/s", lambda result: result.plan.scenario == plan_pb2.SCENARIO_SERVER, _queries_per_s),
    (_energy_title, _has_energy, _energy),
)
"""Title, whether a result has it, how it is shown."""
