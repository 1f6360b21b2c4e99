"""A study's results as a table: rows of data from results, and their rendering for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from edgemeter_coordinator.report.export import VERDICTS
from edgemeter_protos.v1 import lab_pb2, result_pb2

NOT_MEASURED = "-"
WIDE = 220
"""A pipe has no width; this is wide enough for every column."""

FOLDED = 18
"""The verdict's reasons go on in the next line beyond this."""

_EXTRA = ("agreement", "compressed")
"""Columns for who has room; nothing is said where they are not there."""

_DROPPED = ("size vs base", "load", "p90", "first", "quality on the coordinator", "peak memory", "p99")
"""Columns, the first to go first: those that say the least of which variant to ship."""

VERDICT_STYLES = {"valid": "green", "degraded": "yellow", "void": "red"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One variant on one device; None where it was not measured."""

    device: str
    recipe: str
    size_bytes: int
    # This size over the baseline's: below 1 is smaller.
    size_ratio: float | None
    # With zstd.
    compressed_bytes: int | None
    # With the original, on the coordinator.
    agreement: float | None
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


def render(shown: Sequence[Row], *, title: str | None = None, width: int = WIDE) -> Table:
    """The table for a terminal of `width` columns.

    The device's column is there only where rows differ in it. Where there is no room for all columns, those
    that `_DROPPED` names first are left out, and the caption says which: a number is never cut.
    """
    columns = _columns(shown)
    left_out = []
    for name in _EXTRA:
        if _width(columns.values()) > width:
            del columns[name]
    for name in _DROPPED:
        if _width(columns.values()) <= width:
            break
        if name in columns:
            left_out.append(name)
            del columns[name]
    table = Table(
        title=title,
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        padding=(0, 1, 0, 0),
        caption=f"no room for {', '.join(left_out)}: a wider terminal or an export shows it"
        if left_out
        else None,
        caption_justify="left",
    )
    for column in columns.values():
        table.add_column(
            column.heading,
            justify=column.justify,
            no_wrap=not column.folds,
            min_width=column.least,
            overflow="fold",
        )
    several = len({row.device for row in shown}) > 1
    for index, row in enumerate(shown):
        if several and index and shown[index - 1].device != row.device:
            table.add_section()
        table.add_row(*(column.cells[index] for column in columns.values()))
    return table


def human_bytes(size_bytes: float | None) -> str:
    """Decimal units, three significant digits: "93.1 kB"."""
    return _scaled(size_bytes, 1000, ("B", "kB", "MB", "GB", "TB"))


def human_ns(duration_ns: float | None) -> str:
    """Three significant digits: "42.7 µs"."""
    return _scaled(duration_ns, 1000, ("ns", "µs", "ms", "s"))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Column:
    heading: str
    cells: Sequence[str | Text]
    justify: Literal["left", "right"] = "right"
    # Whether its cells may go on in the next line, down to FOLDED columns.
    folds: bool = False

    @property
    def least(self) -> int:
        """Terminal columns that it needs."""
        longest = max(map(cell_len, [*self.heading.split("\n"), *map(str, self.cells)]), default=0)
        return min(longest, FOLDED) if self.folds else longest


def _columns(shown: Sequence[Row]) -> dict[str, _Column]:
    """All columns by name, in their order."""
    metric = next((row.metric for row in shown if row.metric), "quality")
    formats = {row.recipe.rpartition("@")[2] for row in shown}
    same = f"@{formats.pop()}" if len(formats) == 1 else ""
    columns = {
        "device": _Column(heading="device", cells=[row.device for row in shown], justify="left"),
        "variant": _Column(
            # What all have in common is said once.
            heading=f"variant\n{same}".rstrip(),
            cells=[row.recipe.removesuffix(same) for row in shown],
            justify="left",
        ),
        "size": _Column(heading="size", cells=[human_bytes(row.size_bytes) for row in shown]),
        "compressed": _Column(
            heading="with\nzstd", cells=[human_bytes(row.compressed_bytes) for row in shown]
        ),
        "size vs base": _Column(heading="vs\nbase", cells=[_ratio(row.size_ratio) for row in shown]),
        "quality on the coordinator": _Column(
            heading=f"{metric}\ncoord.", cells=[_share(row.quality_coordinator) for row in shown]
        ),
        "quality": _Column(heading=f"{metric}\ndevice", cells=[_share(row.quality_device) for row in shown]),
        "agreement": _Column(heading="agrees", cells=[_share(row.agreement) for row in shown]),
        "p50": _Column(heading="p50", cells=[human_ns(row.p50_ns) for row in shown]),
        "p90": _Column(heading="p90", cells=[human_ns(row.p90_ns) for row in shown]),
        "p99": _Column(heading="p99", cells=[human_ns(row.p99_ns) for row in shown]),
        "p50 vs base": _Column(heading="vs\nbase", cells=[_ratio(row.p50_ratio) for row in shown]),
        "load": _Column(heading="load", cells=[human_ns(row.load_ns) for row in shown]),
        "first": _Column(heading="first", cells=[human_ns(row.first_inference_ns) for row in shown]),
        "peak memory": _Column(
            heading="peak\nmemory", cells=[human_bytes(row.peak_rss_bytes) for row in shown]
        ),
        "verdict": _Column(
            heading="verdict", cells=[_verdict(row) for row in shown], justify="left", folds=True
        ),
    }
    if len({row.device for row in shown}) <= 1:
        del columns["device"]
    return columns


def _width(columns: Iterable[_Column]) -> int:
    """Terminal columns that a table of these needs: two spaces between any two."""
    return sum(column.least + 2 for column in columns) - 2


def _verdict(row: Row) -> Text:
    verdict = Text(row.verdict, style=VERDICT_STYLES.get(row.verdict, ""))
    if row.verdict_codes:
        verdict.append(f" ({', '.join(row.verdict_codes)})")
    return verdict


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
        compressed_bytes=manifest.compressed_size_bytes or None,
        agreement=manifest.agreement.value if manifest.HasField("agreement") else None,
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
