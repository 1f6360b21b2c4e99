"""What a variant's quality is, which metric counts, and how much of it may be lost. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgemeter_protos.against import LABELS, ORIGINAL
from edgemeter_protos.v1 import lab_pb2, variant_pb2

DEVICE, COORDINATOR = "device", "coordinator"

POINT = 0.01
"""One point of a share: 0.97 is one point less than 0.98."""
ONE_PERCENT = 0.01
PSNR_OF_ONE_PERCENT = -20 * math.log10(ONE_PERCENT)
"""40 dB: the root of the mean squared error is 1 % of the peak (PSNR = 20 log10(peak / RMSE))."""


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


def human(value: float) -> str:
    """ "0.9720", "31.40", "∞"."""
    if value < 0:
        return f"\N{MINUS SIGN}{human(-value)}"
    if math.isinf(value):
        return "∞"
    if value <= 1:
        return f"{value:.4f}" if value == 0 or value >= 0.001 else f"{value:.3g}"
    return f"{value:,.0f}" if value >= 1_000 else f"{value:#.4g}"


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
