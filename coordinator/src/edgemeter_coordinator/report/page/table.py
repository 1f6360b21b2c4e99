"""The table of one device: a row a variant, what is shown and what it is sorted by. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edgemeter_coordinator.report.intervals import Interval
from edgemeter_coordinator.report.page import changes
from edgemeter_coordinator.report.page import metrics as quality
from edgemeter_coordinator.report.page.advice import Advice
from edgemeter_coordinator.report.page.facts import Facts
from edgemeter_coordinator.report.page.wording import DASH, NOTHING, listed, ranged, times
from edgemeter_protos.against import LABELS
from edgemeter_protos.report import units


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """`text` and, under it, `under`, of a line or two. `key` orders rows by this column: None goes last,
    whichever way."""

    text: str
    under: str = ""
    key: float | str | None = None
    worth: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    name: str
    # A second line of the heading.
    under: str = ""
    is_text: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    recipe: str
    is_baseline: bool
    verdict: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    # What holds for all rows, said once under the table.
    remarks: tuple[str, ...] = ()


def table(variants: Sequence[Facts], advice: Advice, *, scenario: str = "") -> Table:
    """Columns of what nobody measured are left out; the remarks say which, and why."""
    baseline = next((each for each in variants if each.is_baseline), None)
    columns: list[tuple[Column, list[Cell]]] = [
        (Column(name="variant", is_text=True), [_variant(each) for each in variants]),
        (Column(name="size", under="vs baseline"), [_size(each, baseline) for each in variants]),
    ]
    remarks = []
    if advice.metric is not None:
        name, against, place = advice.metric
        lower = any(
            metric.lower_is_better
            for each in variants
            if (metric := quality.find(each.metrics, advice.metric)) is not None
        )
        heading = name + (" ↓" if lower else "")
        under = "95 % interval" if against == LABELS else "agreement, 95 %"
        columns.append((Column(name=heading, under=under), [_quality(each, advice) for each in variants]))
        held = "labels" if against == LABELS else "the original's own outputs (agreement, not quality)"
        remarks.append(f"{name}: on the {place}, against {held}" + (", lower is better." if lower else "."))
    else:
        remarks.append("Quality: not measured.")
    texts = any(each.text is not None for each in variants)
    columns += [
        (Column(name="latency p50", under="95 % interval"), [_p50(each) for each in variants]),
        (Column(name="latency p90", under="95 % interval"), [_p90(each) for each in variants]),
        (Column(name="latency", under="vs baseline"), [_ratio(each, baseline) for each in variants]),
    ]
    if texts:
        columns += [
            (Column(name="first token", under="p50, 95 %"), [_first_token(each) for each in variants]),
            (Column(name="tokens/s", under="95 % interval"), [_tokens(each) for each in variants]),
        ]
        remarks.append(_generation(variants))
    elif scenario not in ("", "single-stream"):
        columns.append((Column(name="rate", under="a second"), [_rate(each) for each in variants]))
        remarks.append(f"Scenario: {scenario}.")
    if any(each.energy.status in ("measured", "void") for each in variants):
        noun = next((each.energy.noun for each in variants), "inference")
        columns.append((Column(name="energy", under=f"net / {noun}"), [_energy(each) for each in variants]))
    remarks += _why_no_energy(variants)
    columns += [
        (Column(name="peak memory", under="of it the model"), [_memory(each) for each in variants]),
        (Column(name="verdict", is_text=True), [_verdict(each) for each in variants]),
    ]
    rows = tuple(
        Row(
            recipe=each.recipe,
            is_baseline=each.is_baseline,
            verdict=each.verdict,
            cells=tuple(cells[index] for _, cells in columns),
        )
        for index, each in enumerate(variants)
    )
    return Table(columns=tuple(column for column, _ in columns), rows=rows, remarks=tuple(remarks))


def every_metric(variants: Sequence[Facts]) -> Table:
    """A column for each metric that any variant has, on the device and on the coordinator."""
    keys = list(dict.fromkeys(metric.key for each in variants for metric in each.metrics))
    keys.sort(key=lambda key: key[2] != quality.DEVICE)
    columns = [Column(name="variant", is_text=True)]
    columns += [Column(name=name, under=f"{against}, {place}") for name, against, place in keys]
    rows = []
    for each in variants:
        cells = [_variant(each)]
        cells += [_metric(quality.find(each.metrics, key)) for key in keys]
        rows.append(
            Row(recipe=each.recipe, is_baseline=each.is_baseline, verdict=each.verdict, cells=tuple(cells))
        )
    return Table(columns=tuple(columns), rows=tuple(rows))


def built(variants: Sequence[Facts]) -> Table:
    """Of variants that no board has measured: size, and every metric on the coordinator."""
    metrics = every_metric(variants)
    sizes = [_size(each, None) for each in variants]
    return Table(
        columns=(metrics.columns[0], Column(name="size"), *metrics.columns[1:]),
        rows=tuple(
            replace(row, cells=(row.cells[0], size, *row.cells[1:]))
            for row, size in zip(metrics.rows, sizes, strict=True)
        ),
    )


def _variant(one: Facts) -> Cell:
    return Cell(text=one.recipe, under="baseline" if one.is_baseline else "", key=one.recipe)


def _size(one: Facts, baseline: Facts | None) -> Cell:
    under = ""
    if baseline is not None and not one.is_baseline and baseline.size_bytes:
        under = times(one.size_bytes / baseline.size_bytes)
    return Cell(text=units.human_bytes(one.size_bytes), under=under, key=one.size_bytes)


def _quality(one: Facts, advice: Advice) -> Cell:
    return _metric(quality.find(one.metrics, advice.metric))


def _metric(one: quality.Metric | None) -> Cell:
    if one is None:
        return Cell(text=NOTHING)
    under = ranged(quality.human(one.ci95[0]), quality.human(one.ci95[1])) if one.ci95 else ""
    return Cell(text=quality.human(one.value), under=under, key=_finite(one.value))


def _p50(one: Facts) -> Cell:
    return _time(one.p50_ns, one.p50_ci95)


def _p90(one: Facts) -> Cell:
    return _time(one.p90_ns, one.p90_ci95)


def _time(value_ns: float | None, interval: Interval | None) -> Cell:
    if value_ns is None:
        return Cell(text=NOTHING)
    return Cell(text=units.human_ns(value_ns), under=_between(interval, units.human_ns), key=value_ns)


def _between(interval: Interval | None, human: Callable[[float | None], str]) -> str:
    return "" if interval is None else ranged(human(interval[0]), human(interval[1]))


def _ratio(one: Facts, baseline: Facts | None) -> Cell:
    if one.is_baseline:
        return Cell(text="1", key=1.0)
    if baseline is None or one.ratio is None:
        return Cell(text=NOTHING)
    change = changes.latency(one, baseline)
    under = "\n".join(filter(None, (change.interval.replace(" to ", f" {DASH} "), change.word)))
    return Cell(text=change.text, under=under, key=one.ratio, worth=change.worth)


def _first_token(one: Facts) -> Cell:
    if one.text is None:
        return Cell(text=NOTHING)
    return _time(one.text.ttft_p50_ns, one.text.ttft_p50_ci95)


def _tokens(one: Facts) -> Cell:
    if one.text is None:
        return Cell(text=NOTHING)
    return Cell(
        text=units.human_rate(one.text.tokens_per_s),
        under=_between(one.text.tokens_per_s_ci95, units.human_rate),
        key=one.text.tokens_per_s,
    )


def _generation(variants: Sequence[Facts]) -> str:
    text = next(each.text for each in variants if each.text is not None)
    return (
        f"A query is one generation: {text.new_tokens} tokens after a prompt of {text.prompt_tokens};"
        " tokens/s is of those after the first."
    )


def _rate(one: Facts) -> Cell:
    return Cell(text=units.human_rate(one.rate, NOTHING), key=one.rate)


def _energy(one: Facts) -> Cell:
    energy = one.energy
    if energy.status != "measured" or energy.net_uj is None:
        return Cell(text="void" if energy.status == "void" else NOTHING)
    half = energy.net_half_uj
    under = f"± {units.human_uj(half)}" if half is not None else ""
    return Cell(text=units.human_uj(energy.net_uj), under=under, key=energy.net_uj)


def _why_no_energy(variants: Sequence[Facts]) -> list[str]:
    """Each reason once, with the variants that it is of unless it is that of all."""
    by_reason: dict[str, list[str]] = {}
    for each in variants:
        if each.energy.status != "measured" and each.energy.why:
            by_reason.setdefault(each.energy.why, []).append(each.recipe)
    return [
        f"Energy: not measured ({why})."
        if len(recipes) == len(variants)
        else f"Energy of {listed(recipes)}: not measured ({why})."
        for why, recipes in by_reason.items()
    ]


def _memory(one: Facts) -> Cell:
    if one.peak_rss_bytes is None:
        return Cell(text=NOTHING)
    under = units.human_bytes(one.model_bytes) if one.model_bytes is not None else ""
    return Cell(text=units.human_bytes(one.peak_rss_bytes), under=under, key=one.peak_rss_bytes)


_ORDER = {"valid": 0, "degraded": 1, "void": 2}


def _verdict(one: Facts) -> Cell:
    return Cell(
        text=one.verdict,
        under=", ".join(one.codes),
        key=_ORDER.get(one.verdict, 3),
        worth={"valid": changes.BETTER, "degraded": changes.UNSURE}.get(one.verdict, changes.WORSE),
    )


def _finite(value: float) -> float:
    """JSON knows no infinity."""
    return max(min(value, 1e308), -1e308)
