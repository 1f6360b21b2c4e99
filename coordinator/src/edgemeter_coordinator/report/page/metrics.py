"""What a variant's quality is, which metric counts, and how far two variants are apart in it. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgemeter_protos.v1 import lab_pb2, variant_pb2

LABELS, ORIGINAL = "labels", "original"
DEVICE, COORDINATOR = "device", "coordinator"

POINT = 0.01
"""One point of a share: 0.97 is one point less than 0.98."""
ONE_PERCENT = 0.01
PSNR_OF_ONE_PERCENT = -20 * math.log10(ONE_PERCENT)
"""40 dB: the root of the mean squared error is 1 % of the peak (PSNR = 20 log10(peak / RMSE))."""

_Z_95 = 1.959963984540054


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One metric of one variant. `against` is "labels" or "original"; `place` where the outputs came from."""

    name: str
    value: float
    samples: int
    ci95: tuple[float, float] | None = None
    against: str = LABELS
    lower_is_better: bool = False
    place: str = DEVICE

    @property
    def key(self) -> tuple[str, str, str]:
        return self.name, self.against, self.place


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """What a variant's quality must not fall short of to be worth shipping: the bar in the metric's own unit.
    `words` say it: "within 1 point of float32's 0.9720"."""

    value: float
    lower_is_better: bool
    words: str

    def passed_by(self, value: float) -> bool:
        return value <= self.value if self.lower_is_better else value >= self.value


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A variant's value minus the baseline's, in the metric's own unit."""

    value: float
    ci95: tuple[float, float] | None
    lower_is_better: bool

    @property
    def outcome(self) -> str:
        """ "better", "worse", "same" (the very same value, for sure) or "cannot_tell"."""
        if self.ci95 is None:
            return "cannot_tell" if self.value else "same"
        low, high = self.ci95
        if low == high == 0:
            return "same"
        if low <= 0 <= high:
            return "cannot_tell"
        return "worse" if (low > 0) == self.lower_is_better else "better"


def metrics_of(response: lab_pb2.ListResultsResponse) -> tuple[Metric, ...]:
    """Every metric of a variant, the device's before the coordinator's, each in the task's order."""
    manifest = response.manifest
    on_device = list(response.device_metrics)
    if not on_device and response.HasField("device_quality") and response.device_quality.samples > 0:
        on_device = [response.device_quality]
    there = list(manifest.metrics) or [
        getattr(manifest, name) for name in ("quality", "agreement") if manifest.HasField(name)
    ]
    found = [_metric(each, DEVICE) for each in on_device if _is_scored(each)]
    found += [_metric(each, COORDINATOR) for each in there if _is_scored(each)]
    return tuple(found)


def main_key(variants: Sequence[tuple[Metric, ...]]) -> tuple[str, str, str] | None:
    """Which metric is held against which, of variants with the baseline first: the first of the baseline's
    that another has too, the device's before the coordinator's, those against labels before agreement.

    None where nothing was scored.
    """
    if not variants:
        return None
    others = [{metric.key for metric in each} for each in variants[1:]]
    candidates = sorted(variants[0], key=lambda each: (each.place != DEVICE, each.against != LABELS))
    for candidate in candidates:
        if not others or any(candidate.key in each for each in others):
            return candidate.key
    found = next((metric for each in variants for metric in each), None)
    return candidates[0].key if candidates else (found.key if found else None)


def find(metrics: Sequence[Metric], key: tuple[str, str, str] | None) -> Metric | None:
    return next((each for each in metrics if each.key == key), None)


def is_share(metrics: Sequence[Metric]) -> bool:
    """Whether it goes from 0 to 1 as far as is seen, more being better: then it is told in points."""
    return all(not each.lower_is_better and 0 <= each.value <= 1 for each in metrics)


def bar(baseline: Metric, baseline_recipe: str, all_of_it: Sequence[Metric]) -> Bar | None:
    """How far below the baseline a variant may be: a point of a share, else 1 % of the baseline's value.

    A PSNR against the original has no baseline to be 1 % of (it is infinite for the original itself); its bar
    is the one at which the error is 1 % of the peak. None where there is no such bar: an error against the
    original whose own error is 0.
    """
    lower = baseline.lower_is_better
    if _is_psnr(baseline) and baseline.against == ORIGINAL:
        words = f"{PSNR_OF_ONE_PERCENT:.0f} dB or more: an error of at most 1 % of the peak"
        return Bar(value=PSNR_OF_ONE_PERCENT, lower_is_better=False, words=words)
    if not math.isfinite(baseline.value):
        return None
    whose = f"{baseline_recipe}'s {human(baseline.value)}"
    if is_share(all_of_it):
        # A rounding of the difference is no point lost.
        value = baseline.value - POINT - 1e-9
        return Bar(value=value, lower_is_better=False, words=f"within 1 point (0.01) of {whose}")
    if baseline.value == 0:
        return None
    room = ONE_PERCENT * abs(baseline.value) * (1 + 1e-9)
    value = baseline.value + room if lower else baseline.value - room
    return Bar(value=value, lower_is_better=lower, words=f"within 1 % of {whose}")


def difference(
    variant: Sequence[Metric], baseline: Sequence[Metric], key: tuple[str, str, str]
) -> Difference | None:
    """In one metric, with the narrowest 95 % interval that the metrics beside it allow; None where either has
    no such metric or an infinite one."""
    mine, theirs = find(variant, key), find(baseline, key)
    if mine is None or theirs is None or not (math.isfinite(mine.value) and math.isfinite(theirs.value)):
        return None
    return Difference(
        value=mine.value - theirs.value,
        ci95=_paired_shares(variant, baseline, mine, theirs)
        or _paired_perplexities(variant, baseline, mine, theirs)
        or independent(mine, theirs),
        lower_is_better=mine.lower_is_better,
    )


def independent(mine: Metric, theirs: Metric) -> tuple[float, float] | None:
    """Interval of a difference from the two values' own: d -+ sqrt((m - l1)^2 + (u2 - t)^2), as if the samples
    were not the same. Since they are, it is too wide rather than too narrow.

    G. Y. Zou and A. Donner, Construction of confidence limits about effect measures: a general approach,
    Statistics in Medicine 27 (2008), after R. G. Newcombe's of 1998 for proportions.
    """
    if mine.ci95 is None or theirs.ci95 is None:
        return None
    d, (low1, high1), (low2, high2) = mine.value - theirs.value, mine.ci95, theirs.ci95
    return (
        d - math.hypot(mine.value - low1, high2 - theirs.value),
        d + math.hypot(high1 - mine.value, theirs.value - low2),
    )


def _paired_shares(
    variant: Sequence[Metric], baseline: Sequence[Metric], mine: Metric, theirs: Metric
) -> tuple[float, float] | None:
    """Of top-1 shares over the same samples, where both variants' agreement with the original is known.

    Samples that one has right and the other wrong are at most those for which they choose differently, and
    these at most (1 - agreement) of both together. A paired difference of shares has the variance
    (b + c - (b - c)^2 / n) / n^2 <= (b + c) / n^2 (McNemar, Psychometrika 12, 1947); b + c is taken at the
    upper end of what the agreements' intervals allow.
    """
    if mine.name != "top1" or mine.samples != theirs.samples or mine.samples == 0:
        return None
    key = ("agreement", ORIGINAL, mine.place)
    agreed, base = find(variant, key), find(baseline, key)
    if agreed is None or base is None or agreed.samples != mine.samples:
        return None
    if agreed.value == base.value == 1:
        return 0.0, 0.0
    differ = (1 - (agreed.ci95[0] if agreed.ci95 else agreed.value)) + (1 - base.value)
    half = _Z_95 * math.sqrt(min(differ, 1.0) / mine.samples)
    d = mine.value - theirs.value
    wide = independent(mine, theirs)
    if wide is not None and wide[1] - wide[0] < 2 * half:
        return wide
    return d - half, d + half


def _paired_perplexities(
    variant: Sequence[Metric], baseline: Sequence[Metric], mine: Metric, theirs: Metric
) -> tuple[float, float] | None:
    """From the ratio to the original's perplexity, whose interval is over the same windows' differences; where
    the baseline's own ratio is 1 to a thousandth, it stands for the original."""
    if mine.name != "perplexity":
        return None
    key = ("perplexity_ratio", ORIGINAL, mine.place)
    ratio, base = find(variant, key), find(baseline, key)
    if ratio is None or ratio.ci95 is None or base is None or abs(base.value - 1) > 1e-3:
        return None
    return tuple(sorted((each / ratio.value) * mine.value - theirs.value for each in ratio.ci95))  # type: ignore[return-value]


def human(value: float) -> str:
    """ "0.9720", "31.4", "∞"."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if abs(value) <= 1:
        return f"{value:.4f}" if value == 0 or abs(value) >= 0.001 else f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def human_difference(one: Difference, *, share: bool) -> str:
    """ "-0.4 points", "+0.12"."""
    return _points(one.value) + " points" if share else signed(one.value)


def human_interval(one: Difference, *, share: bool) -> str:
    """ "-1.2 to 0.4"; "" where it has none."""
    if one.ci95 is None:
        return ""
    low, high = one.ci95
    return f"{_points(low)} to {_points(high)}" if share else f"{signed(low)} to {signed(high)}"


def signed(value: float) -> str:
    text = human(abs(value))
    return f"{'-' if value < 0 else '+'}{text}" if value else "0"


def _points(value: float) -> str:
    text = f"{value * 100:+.1f}" if abs(value) >= 0.0005 else f"{value * 100:+.2f}"
    return "0" if float(text) == 0 else text


def _is_psnr(one: Metric) -> bool:
    return one.name.lower().startswith("psnr")


def _is_scored(one: variant_pb2.Quality) -> bool:
    return bool(one.metric) and one.samples > 0 and not one.unscored_reason and not math.isnan(one.value)


def _metric(one: variant_pb2.Quality, place: str) -> Metric:
    bounded = one.HasField("ci95_low") and one.HasField("ci95_high")
    return Metric(
        name=one.metric,
        value=one.value,
        samples=one.samples,
        ci95=(one.ci95_low, one.ci95_high) if bounded else None,
        # Before there was agreement in `metrics`, the one metric of its name was all of it.
        against=one.against or (ORIGINAL if one.metric == "agreement" else LABELS),
        lower_is_better=one.lower_is_better,
        place=place,
    )
