"""A study's results as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from edgemeter_coordinator.report.rows import Row, rows
from edgemeter_protos.report import units

__all__ = ["NOT_MEASURED", "WIDE", "Row", "render", "rows"]

NOT_MEASURED = "-"
"""In a cell, where there is room for no more; the table's last line says what it stands for."""

WIDE = 240
"""A pipe has no width; this is wide enough for every column."""

FOLDED = 18
"""The verdict's reasons go on in the next line beyond this."""

_EXTRA = ("agreement", "compressed")
"""Columns for who has room; nothing is said where they are not there."""

_DROPPED_FIRST = ("size vs base", "load", "p90", "first", "quality on the coordinator", "p99")
"""Columns, the first to go first: those that say the least of which variant to ship."""

_DROPPED_LAST = ("the model's memory", "peak memory", "rate", "first token", "energy", "tokens/s")
"""What goes only where two lines a row were not enough."""

VERDICT_STYLES = {"valid": "green", "degraded": "yellow", "void": "red"}


def render(shown: Sequence[Row], *, title: str | None = None, width: int = WIDE) -> Table:
    """The table for a terminal of `width` columns.

    The device's column is there only where rows differ in it, energy's only where some was read. Where there
    is no room for all columns, those that say the least are left out, and the last lines say which; then
    intervals go under their numbers. A number is never cut.
    """
    columns, left_out = _fitting(shown, width)
    table = Table(
        title=title,
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        padding=(0, 1, 0, 0),
        caption="\n".join(_remarks(shown, columns, left_out)) or None,
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
        texts = [self.heading, *map(str, self.cells)]
        longest = max((cell_len(line) for text in texts for line in text.split("\n")), default=0)
        return min(longest, FOLDED) if self.folds else longest


def _fitting(shown: Sequence[Row], width: int) -> tuple[dict[str, _Column], list[str]]:
    """The columns for a terminal of `width`, and the names of those that there is no room for."""
    gone: list[str] = []
    columns = _columns(shown, stacked=False)
    for name in (*_EXTRA, *_DROPPED_FIRST):
        if _width(columns.values()) <= width:
            return columns, gone
        if columns.pop(name, None) is not None and name not in _EXTRA:
            gone.append(name)
    if _width(columns.values()) <= width:
        return columns, gone
    columns = {name: column for name, column in _columns(shown, stacked=True).items() if name in columns}
    for name in _DROPPED_LAST:
        if _width(columns.values()) <= width:
            break
        if columns.pop(name, None) is not None:
            gone.append(name)
    return columns, gone


def _columns(shown: Sequence[Row], *, stacked: bool) -> dict[str, _Column]:
    """All columns by name, in their order; `stacked` puts intervals under their numbers."""
    metric = next((row.metric for row in shown if row.metric), "quality")
    formats = {row.recipe.rpartition("@")[2] for row in shown}
    same = f"@{formats.pop()}" if len(formats) == 1 else ""
    between = "\n" if stacked else " "
    columns = {
        "device": _Column(heading="device", cells=[row.device for row in shown], justify="left"),
        "variant": _Column(
            # What all have in common is said once.
            heading=f"variant\n{same}".rstrip(),
            cells=[row.recipe.removesuffix(same) for row in shown],
            justify="left",
        ),
        "size": _Column(heading="size", cells=[_bytes(row.size_bytes) for row in shown]),
        "compressed": _Column(heading="with\nzstd", cells=[_bytes(row.compressed_bytes) for row in shown]),
        "size vs base": _Column(heading="vs\nbase", cells=[_times(row.size_ratio) for row in shown]),
        "quality on the coordinator": _Column(
            heading=f"{metric}\ncoord.", cells=[_share(row.quality_coordinator) for row in shown]
        ),
        "quality": _Column(heading=f"{metric}\ndevice", cells=[_share(row.quality_device) for row in shown]),
        "agreement": _Column(
            heading=_agreement_heading(shown), cells=[_share(row.agreement) for row in shown]
        ),
        "p50": _Column(heading="p50", cells=[_p50(row, between) for row in shown]),
        "p90": _Column(heading="p90", cells=[_ns(row.p90_ns) for row in shown]),
        "p99": _Column(heading="p99", cells=[_ns(row.p99_ns) for row in shown]),
        "p50 vs base": _Column(heading="vs\nbase", cells=[_compared(row, stacked=stacked) for row in shown]),
        "rate": _Column(
            heading="rate\n/s", cells=[units.human_rate(row.rate, NOT_MEASURED) for row in shown]
        ),
        "first token": _Column(heading="first\ntoken", cells=[_ns(row.first_token_ns) for row in shown]),
        "tokens/s": _Column(heading="tokens\n/s", cells=[_tokens_per_s(row, between) for row in shown]),
        "load": _Column(heading="load", cells=[_ns(row.load_ns) for row in shown]),
        "first": _Column(heading="first", cells=[_ns(row.first_inference_ns) for row in shown]),
        "energy": _Column(heading=f"energy\n{_per(shown)}", cells=[_energy(row, between) for row in shown]),
        "peak memory": _Column(heading="peak\nmemory", cells=[_bytes(row.peak_rss_bytes) for row in shown]),
        "the model's memory": _Column(
            heading="of it\nmodel", cells=[_bytes(row.model_bytes) for row in shown]
        ),
        "verdict": _Column(
            heading="verdict", cells=[_verdict(row) for row in shown], justify="left", folds=True
        ),
    }
    if len({row.device for row in shown}) <= 1:
        del columns["device"]
    if not _some_energy(shown):
        del columns["energy"]
    if all(row.scenario in ("", "single-stream") for row in shown):
        del columns["rate"]
    if all(row.first_token_ns is None for row in shown):
        del columns["first token"], columns["tokens/s"]
    if all(row.model_bytes is None for row in shown):
        del columns["the model's memory"]
    return columns


def _remarks(shown: Sequence[Row], columns: dict[str, _Column], left_out: Sequence[str]) -> list[str]:
    remarks = []
    scenarios = {row.scenario for row in shown} - {"", "single-stream"}
    if scenarios:
        remarks.append(f"scenario: {', '.join(sorted(scenarios))}")
    if shown and not _some_energy(shown):
        details = {row.energy_detail for row in shown}
        why = details.pop() if len(details) == 1 else ""
        remarks.append(f"energy: not measured{f' ({why})' if why else ''}")
    if any(str(cell) == NOT_MEASURED for column in columns.values() for cell in column.cells):
        remarks.append(f"{NOT_MEASURED}: not measured")
    if left_out:
        remarks.append(f"no room for {', '.join(left_out)}: a wider terminal or an export shows it")
    return remarks


def _some_energy(shown: Sequence[Row]) -> bool:
    return any(row.energy_status in ("measured", "void") for row in shown)


def _width(columns: Iterable[_Column]) -> int:
    """Terminal columns that a table of these needs: two spaces between any two."""
    return sum(column.least + 2 for column in columns) - 2


def _p50(row: Row, between: str) -> str:
    return between.join(filter(None, (_ns(row.p50_ns), units.plus_minus(row.p50_ns, row.p50_half_ns))))


def _tokens_per_s(row: Row, between: str) -> str:
    rate = units.human_rate(row.tokens_per_s, NOT_MEASURED)
    return between.join(filter(None, (rate, units.plus_minus(row.tokens_per_s, row.tokens_per_s_half))))


def _agreement_heading(shown: Sequence[Row]) -> str:
    """ "agrees" for shares of the same choice; else the metric that the original's outputs are held by."""
    metric = next((row.agreement_metric for row in shown if row.agreement_metric), "agreement")
    return "agrees" if metric == "agreement" else f"{metric}\nvs orig."


def _per(shown: Sequence[Row]) -> str:
    """ "net/inf.", "net/token"; where rows differ in what one is, only "net"."""
    nouns = {row.sample_noun for row in shown if row.energy_status in ("measured", "void")}
    if len(nouns) > 1:
        return "net"
    noun = next(iter(nouns), "inference")
    return "net/inf." if noun == "inference" else f"net/{noun}"


def _energy(row: Row, between: str) -> str:
    if row.energy_status == "void":
        return "void"
    text = units.human_uj(row.net_uj, NOT_MEASURED)
    return between.join(filter(None, (text, units.plus_minus(row.net_uj, row.net_half_uj))))


def _compared(row: Row, *, stacked: bool) -> str:
    if row.cannot_tell:
        return "cannot\ntell" if stacked else "cannot tell"
    if row.ratio_ci95 is None:
        return _times(row.ratio)
    low, high = row.ratio_ci95
    bounds = f"{low:.2f}-{high:.2f}"
    return f"{_times(row.ratio)}\n{bounds}" if stacked else f"{_times(row.ratio)} ({bounds})"


def _verdict(row: Row) -> Text:
    verdict = Text(row.verdict, style=VERDICT_STYLES.get(row.verdict, ""))
    if row.verdict_codes:
        verdict.append(f" ({', '.join(row.verdict_codes)})")
    return verdict


def _times(ratio: float | None) -> str:
    return NOT_MEASURED if ratio is None else f"{ratio:.2f}x"


def _share(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.4f}"


def _bytes(size_bytes: float | None) -> str:
    return units.human_bytes(size_bytes, NOT_MEASURED)


def _ns(duration_ns: float | None) -> str:
    return units.human_ns(duration_ns, NOT_MEASURED)
