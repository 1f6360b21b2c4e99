"""The tables of docs/recipes.md, and what may be said of them, out of a run. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

BEGIN = "<!-- Written by `make recipes` from here -->"
END = "<!-- to here -->"

COLUMNS = (
    "recipe",
    "size",
    "zstd",
    "parameters",
    "not zero",
    "MACs",
    "top-1 (95 %)",
    "agrees",
    "p50 (95 %)",
    "of float32",
)

BASELINE = "float32@tflite"

INT8_LATENCY_AT_MOST = 0.5
INT8_SIZE_AT_MOST = 0.27
PRUNED_SPEED_AT_LEAST = 1.3
PRUNED_DROP_AT_MOST = 0.03
NO_GAIN_AT_LEAST = 0.9
"""Of float32's latency: within a tenth, what differs is the machine."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share of samples and its 95 % interval."""

    value: float
    low: float
    high: float
    samples: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """A recipe's variant: as it was measured, or why there is none.

    Attributes:
        recipe: canonical text, with its format.
        refused, failed: the reason, one line; empty where it was built.
        size_bytes, compressed_bytes: of the file, and of it under zstd.
        quality: top-1 on the coordinator over all evaluation samples; None without labels.
        agreement: with the original's choices.
        p50_ns, p50_ci_ns: None where nothing was measured.
        verdict: "valid", "degraded" or "void"; empty where nothing was measured.
        reservations: the verdict's codes.
    """

    recipe: str
    refused: str = ""
    failed: str = ""
    size_bytes: int = 0
    compressed_bytes: int = 0
    parameters: int = 0
    non_zero_parameters: int = 0
    macs: int = 0
    quality: Share | None = None
    agreement: Share | None = None
    p50_ns: float | None = None
    p50_ci_ns: tuple[float, float] | None = None
    verdict: str = ""
    reservations: tuple[str, ...] = ()

    @property
    def format(self) -> str:
        return self.recipe.rpartition("@")[2]


@dataclass(frozen=True, kw_only=True)
class Model:
    """One of the models, with the rows of its study, of which `BASELINE` is one.

    Attributes:
        name: "resnet", …
        about: a sentence or two on the model and the data, Markdown.
    """

    name: str
    about: str
    rows: tuple[Row, ...]

    @property
    def baseline(self) -> Row:
        return next(row for row in self.rows if row.recipe == BASELINE)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence on a run, and whether the run bears it out; None where it can't tell.

    Attributes:
        judged: whether the sentence promises something, or only tells.
    """

    text: str
    holds: bool | None = None
    judged: bool = True


def model_of(record: dict[str, Any]) -> Model:
    """A model out of a run's JSON, as `dataclasses.asdict` made it."""
    rows = []
    for each in record["rows"]:
        shares = {name: each[name] and Share(**each[name]) for name in ("quality", "agreement")}
        interval = each["p50_ci_ns"] and tuple(each["p50_ci_ns"])
        rows.append(
            Row(**{**each, **shares, "p50_ci_ns": interval, "reservations": tuple(each["reservations"])})
        )
    return Model(name=record["name"], about=record["about"], rows=tuple(rows))


def page(prose: str, run: dict[str, Any]) -> str:
    """`prose` with what stands between the two marks replaced.

    Raises:
        ValueError: the marks are not there.
    """
    before, begin, rest = prose.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{written(run)}\n{END}{after}"


def written(run: dict[str, Any]) -> str:
    """The tables and claims."""
    models = [model_of(each) for each in run["models"]]
    lines = [f"{run['date']}: {run['machine']}; plan: {run['plan']}.", "", "### What holds", ""]
    marks = {True: "Holds", False: "**Does not hold**", None: "**Not measured**"}
    said = claims(models)
    lines += [f"- {marks[each.holds]}: {each.text}." for each in said if each.judged]
    lines += [f"- {each.text}." for each in said if not each.judged]
    for model in models:
        lines += ["", f"### {model.name}", "", model.about, "", *table(model)]
        lines += _reservations(model.rows)
        missing = [row for row in model.rows if row.refused or row.failed]
        if missing:
            lines += ["", "Not in the table:", ""]
            lines += _reasons(missing)
    return "\n".join(lines)


def table(model: Model) -> list[str]:
    """Markdown, a row a variant, by format."""
    lines = [
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * len(COLUMNS),
    ]
    built = [row for row in model.rows if not row.refused and not row.failed]
    formats = list(dict.fromkeys(row.format for row in built))
    for row in sorted(built, key=lambda each: formats.index(each.format)):
        cells = [
            f"`{row.recipe}`",
            size(row.size_bytes),
            size(row.compressed_bytes),
            f"{row.parameters:,}",
            f"{row.non_zero_parameters:,}",
            count(row.macs),
            "-" if row.quality is None else interval(row.quality),
            "-" if row.agreement is None else f"{100 * row.agreement.value:.1f} %",
            latency(row),
            ratio_cell(row, model.baseline),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def claims(models: Sequence[Model]) -> list[Claim]:
    """What the recipes are chosen by, of these models."""
    named = {model.name: model for model in models}
    made: list[Claim] = []
    for name in ("resnet", "lite0"):
        if name in named:
            made += _int8(named[name])
    for model in models:
        made += [*_pruned_channels(model), *_int8_in_onnx(model)]
    return made + [each for model in models for each in _pruned(model)]


def _int8(model: Model) -> list[Claim]:
    row, base = _alone(model, "int8@"), model.baseline
    if row is None:
        return []
    if not _both(row, base):
        return [_not_measured(model, row, base)]
    speed = _ratio(row, base)
    return [
        _latency_claim(
            speed,
            f"{model.name}: `int8` takes {{}} of float32's latency, at most {INT8_LATENCY_AT_MOST:.2f}",
            speed is not None and speed <= INT8_LATENCY_AT_MOST,
        ),
        *(
            Claim(
                text=f"{model.name}: `int8` {what} {100 * share:.1f} % of float32's size, at most"
                f" {100 * INT8_SIZE_AT_MOST:.0f} %",
                holds=share <= INT8_SIZE_AT_MOST,
            )
            for what, share in (
                ("has as a file", row.size_bytes / base.size_bytes),
                ("travels, compressed, in", row.compressed_bytes / base.compressed_bytes),
            )
        ),
    ]


def _int8_in_onnx(model: Model) -> list[Claim]:
    rows = {row.recipe: row for row in model.rows}
    row, base = (rows.get(f"{step}@onnx") for step in ("int8", "float32"))
    if row is None or base is None or not _both(row, base):
        return []
    speed = _ratio(row, base)
    if speed is None:
        return []
    size_share = row.size_bytes / base.size_bytes
    text = (
        f"{model.name}: `int8@onnx` takes {speed:.2f} of `float32@onnx`'s latency and"
        f" {100 * size_share:.1f} % of its size"
    )
    return [Claim(text=text, judged=False)]


def _pruned_channels(model: Model) -> list[Claim]:
    row, base = _alone(model, "prune-channels(0.3"), model.baseline
    if row is None:
        return []
    if not _both(row, base):
        return [_not_measured(model, row, base)]
    speed = _ratio(row, base)
    if "epochs=0" in row.recipe:
        # Whoever wants the speed has data to fine-tune with; without, it is told and not judged.
        told = "not measured" if speed is None else f"{1 / speed:.2f} times as fast as float32"
        return [Claim(text=f"{model.name}: `prune-channels(0.3)` is {told}, not fine-tuned", judged=False)]
    made = [
        _latency_claim(
            None if speed is None else 1 / speed,
            f"{model.name}: `prune-channels(0.3)` is {{}} times as fast as float32, at least"
            f" {PRUNED_SPEED_AT_LEAST}",
            speed is not None and 1 / speed >= PRUNED_SPEED_AT_LEAST,
        )
    ]
    if row.quality is not None and base.quality is not None:
        drop = base.quality.value - row.quality.value
        made.append(
            Claim(
                text=f"{model.name}: `prune-channels(0.3)`, fine-tuned, changes top-1 by {-100 * drop:+.1f}"
                f" points, and may lose {100 * PRUNED_DROP_AT_MOST:.0f}",
                holds=drop <= PRUNED_DROP_AT_MOST,
            )
        )
    return made


def _pruned(model: Model) -> list[Claim]:
    row, base = _alone(model, "prune(0.5"), model.baseline
    if row is None:
        return []
    if not _both(row, base):
        return [_not_measured(model, row, base)]
    speed = _ratio(row, base)
    return [
        _latency_claim(
            speed,
            f"{model.name}: `prune(0.5)` gains no speed ({{}} of float32's latency) and no size"
            f" ({100 * row.size_bytes / base.size_bytes:.0f} %): it saves {100 * saved(row, base):.0f} % of"
            " the compressed file",
            speed is not None and speed >= NO_GAIN_AT_LEAST and row.size_bytes >= 0.95 * base.size_bytes,
        )
    ]


def _alone(model: Model, beginning: str) -> Row | None:
    """The .tflite of a recipe of one step."""
    found = (row for row in model.rows if row.recipe.startswith(beginning) and "+" not in row.recipe)
    return next((row for row in found if row.format == "tflite"), None)


def saved(row: Row, base: Row) -> float:
    """Share of the compressed file that a recipe saves."""
    return 1 - row.compressed_bytes / base.compressed_bytes


def _latency_claim(figure: float | None, text: str, holds: bool) -> Claim:
    if figure is None:
        return Claim(text=text.format("…") + ": the measurement is void", holds=None)
    return Claim(text=text.format(f"{figure:.2f}"), holds=holds)


def _not_measured(model: Model, *rows: Row) -> Claim:
    reasons = [f"`{row.recipe}`: {row.refused or row.failed}" for row in rows if row.refused or row.failed]
    return Claim(text=f"{model.name}: " + "; ".join(reasons), holds=None)


def _both(*rows: Row) -> bool:
    return not any(row.refused or row.failed for row in rows)


def _ratio(row: Row, base: Row) -> float | None:
    """Of the medians; None where one of them is void."""
    if row.p50_ns is None or base.p50_ns is None or "void" in (row.verdict, base.verdict):
        return None
    return row.p50_ns / base.p50_ns


def _reservations(rows: Iterable[Row]) -> list[str]:
    """What the stars stand for."""
    codes = Counter(code for row in rows if row.verdict == "degraded" for code in row.reservations)
    if not codes:
        return []
    counted = ", ".join(f"`{code}` in {number} rows" for code, number in codes.most_common())
    return ["", f"\\* [degraded](measuring.md#verdicts): {counted}."]


def _reasons(rows: Iterable[Row]) -> list[str]:
    """A line a reason, with all recipes that it met."""
    by_reason: dict[str, list[str]] = {}
    for row in rows:
        reason = f"refused: {row.refused}" if row.refused else f"failed: {row.failed}"
        by_reason.setdefault(reason, []).append(f"`{row.recipe}`")
    return [f"- {', '.join(recipes)}: {reason}" for reason, recipes in by_reason.items()]


def latency(row: Row) -> str:
    """ "1.234 ms (1.230 to 1.240)"; "void (contention)"; a star where there are reservations."""
    if row.p50_ns is None or row.verdict == "void":
        return f"void ({', '.join(row.reservations)})" if row.verdict else "-"
    star = "\\*" if row.verdict == "degraded" else ""
    digits = 3 if row.p50_ns < 1e7 else 2
    shown = f"{row.p50_ns / 1e6:.{digits}f} ms{star}"
    if row.p50_ci_ns is None:
        return shown
    low, high = (each / 1e6 for each in row.p50_ci_ns)
    return f"{shown} ({low:.{digits}f} to {high:.{digits}f})"


def ratio_cell(row: Row, base: Row) -> str:
    """The quotient of the medians."""
    found = _ratio(row, base)
    return "-" if found is None else f"{found:.2f}"


def interval(share: Share) -> str:
    """ "91.4 % (90.1 to 92.6)"."""
    return f"{100 * share.value:.1f} % ({100 * share.low:.1f} to {100 * share.high:.1f})"


def size(size_bytes: int) -> str:
    """Decimal units: "93.1 kB"."""
    if size_bytes < 1e6:
        return f"{size_bytes / 1e3:.1f} kB"
    return f"{size_bytes / 1e6:.2f} MB"


def count(number: int) -> str:
    """ "8.24 M"; "-" for 0, which stands for unknown."""
    if not number:
        return "-"
    return f"{number / 1e6:.2f} M"
