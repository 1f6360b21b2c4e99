"""A study's results as a table: rows of data from results, and their rendering for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from edgemeter_coordinator.report.export import VERDICTS
from edgemeter_protos.v1 import lab_pb2, result_pb2

NOT_MEASURED = "-"
VERDICT_STYLES = {"valid": "green", "degraded": "yellow", "void": "red"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One variant on one device; None where it was not measured."""

    device: str
    recipe: str
    size_bytes: int
    # This size over the baseline's: below 1 is smaller.
    size_ratio: float | None
    metric: str
    quality_coordinator: float | None
    quality_device: float | None
    p50_ns: float | None
    p90_ns: float | None
    p99_ns: float | None
    # This p50 over the baseline's on the same device: below 1 is faster.
    p50_ratio: float | None
    load_ns: int | None
    first_inference_ns: int | None
    peak_rss_bytes: int | None
    verdict: str
    verdict_codes: tuple[str, ...]


def rows(responses: Iterable[lab_pb2.ListResultsResponse]) -> list[Row]:
    """By device, and within a device in the study's order of variants: the baseline first."""
    every = list(responses)
    baselines = {
        response.device.id: response for response in every if _position(response) == 0 and not response.late
    }
    ordered = sorted(every, key=lambda response: (response.device.name, _position(response)))
    return [_row(response, baselines.get(response.device.id)) for response in ordered]


def render(shown: Sequence[Row], *, title: str | None = None) -> Table:
    """The table for a terminal. The device's column is there only where rows differ in it."""
    devices = {row.device for row in shown}
    metric = next((row.metric for row in shown if row.metric), "quality")
    table = Table(title=title, title_justify="left", header_style="bold")
    if len(devices) > 1:
        table.add_column("device")
    table.add_column("variant")
    for heading in ("size", "vs base", f"{metric} coord.", f"{metric} device", "p50", "p90", "p99"):
        table.add_column(heading, justify="right")
    for heading in ("vs base", "load", "first", "peak mem."):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    previous = None
    for row in shown:
        if previous not in (None, row.device):
            table.add_section()
        previous = row.device
        table.add_row(*([row.device] if len(devices) > 1 else []), *_cells(row))
    return table


def human_bytes(size_bytes: float | None) -> str:
    """Decimal units, three significant digits: "93.1 kB"."""
    return _scaled(size_bytes, 1000, ("B", "kB", "MB", "GB", "TB"))


def human_ns(duration_ns: float | None) -> str:
    """Three significant digits: "42.7 µs"."""
    return _scaled(duration_ns, 1000, ("ns", "µs", "ms", "s"))


def _cells(row: Row) -> list[str | Text]:
    verdict = Text(row.verdict, style=VERDICT_STYLES.get(row.verdict, ""))
    if row.verdict_codes:
        verdict.append(f" ({', '.join(row.verdict_codes)})")
    return [
        row.recipe,
        human_bytes(row.size_bytes),
        _ratio(row.size_ratio),
        _share(row.quality_coordinator),
        _share(row.quality_device),
        human_ns(row.p50_ns),
        human_ns(row.p90_ns),
        human_ns(row.p99_ns),
        _ratio(row.p50_ratio),
        human_ns(row.load_ns),
        human_ns(row.first_inference_ns),
        human_bytes(row.peak_rss_bytes),
        verdict,
    ]


def _row(response: lab_pb2.ListResultsResponse, baseline: lab_pb2.ListResultsResponse | None) -> Row:
    manifest, result = response.manifest, response.result
    timed = result.latency.samples > 0
    scored = response.HasField("device_quality") and response.device_quality.samples > 0
    codes = tuple(reason.code for reason in result.verdict.reasons)
    return Row(
        device=response.device.name,
        recipe=manifest.recipe,
        size_bytes=manifest.size_bytes,
        size_ratio=_over(manifest.size_bytes, baseline.manifest.size_bytes if baseline else None),
        metric=response.device_quality.metric or manifest.quality.metric,
        quality_coordinator=manifest.quality.value if manifest.HasField("quality") else None,
        quality_device=response.device_quality.value if scored else None,
        p50_ns=result.latency.p50_ns if timed else None,
        p90_ns=result.latency.p90_ns if timed else None,
        p99_ns=result.latency.p99_ns if timed else None,
        p50_ratio=_over(result.latency.p50_ns, _p50_ns(baseline.result) if baseline else None),
        load_ns=result.cold.load_ns or None,
        first_inference_ns=result.cold.first_inference_ns or None,
        peak_rss_bytes=result.peak_rss_bytes or None,
        verdict=VERDICTS.get(result.verdict.state, "void"),
        verdict_codes=tuple(dict.fromkeys(codes)),
    )


def _position(response: lab_pb2.ListResultsResponse) -> int:
    ids = [variant.variant_id for variant in response.study.variants]
    wanted = response.manifest.variant_id
    return ids.index(wanted) if wanted in ids else len(ids)


def _p50_ns(result: result_pb2.Result) -> float | None:
    return result.latency.p50_ns or None


def _over(value: float, base: float | None) -> float | None:
    return value / base if value and base else None


def _ratio(ratio: float | None) -> str:
    return NOT_MEASURED if ratio is None else f"{ratio:.2f}"


def _share(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.4f}"


def _scaled(value: float | None, step: int, units: tuple[str, ...]) -> str:
    if value is None:
        return NOT_MEASURED
    power = 0
    # 999.5 would be shown as 1000.
    while value >= step - 0.5 and power < len(units) - 1:
        value /= step
        power += 1
    if value >= 100 or (power == 0 and float(value).is_integer()):
        return f"{value:.0f} {units[power]}"
    return f"{value:.{1 if value >= 10 else 2}f} {units[power]}"
