"""Which variants of a device may be shipped at all, and what there is to doubt. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgemeter_coordinator.report.page import differences
from edgemeter_coordinator.report.page import metrics as quality
from edgemeter_coordinator.report.page.differences import Difference
from edgemeter_coordinator.report.page.facts import Facts
from edgemeter_coordinator.report.page.metrics import Bar, Metric
from edgemeter_protos.against import ORIGINAL


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A device's variants.

    Attributes:
        key: the metric that counts; None where nothing was scored.
        bar: what it must not fall short of; None where there is no such bar.
        sound: all but void ones.
        eligible: of the sound ones, the baseline and those that pass the bar; all of them without a bar.
        share: the metric is a share: differences are told in points.
    """

    every: tuple[Facts, ...]
    baseline: Facts | None
    key: tuple[str, str, str] | None
    bar: Bar | None
    sound: tuple[Facts, ...]
    eligible: tuple[Facts, ...]
    share: bool

    @property
    def base(self) -> Facts | None:
        """The baseline where its run can be compared with."""
        return self.baseline if self.baseline is not None and not self.baseline.void else None

    @property
    def ruled_out(self) -> list[Facts]:
        """By their quality alone."""
        return [each for each in self.sound if each not in self.eligible]

    @property
    def baseline_metric(self) -> Metric | None:
        return quality.find(self.baseline.metrics, self.key) if self.baseline is not None else None

    def lost(self, one: Facts) -> Difference | None:
        """How far from the baseline in the metric that counts."""
        if self.baseline is None or self.key is None:
            return None
        return differences.difference(one.metrics, self.baseline.metrics, self.key)


def judge(variants: Sequence[Facts]) -> Judged:
    baseline = next((each for each in variants if each.is_baseline), None)
    key = quality.main_key([each.metrics for each in variants])
    every = [metric for each in variants if (metric := quality.find(each.metrics, key)) is not None]
    of_baseline = quality.find(baseline.metrics, key) if baseline is not None else None
    bar = quality.bar(of_baseline, baseline.recipe, every) if of_baseline is not None and baseline else None
    sound = tuple(each for each in variants if not each.void)
    return Judged(
        every=tuple(variants),
        baseline=baseline,
        key=key,
        bar=bar,
        sound=sound,
        eligible=tuple(each for each in sound if each.is_baseline or _passes(each, key, bar)),
        share=quality.is_share(every),
    )


def _passes(one: Facts, key: tuple[str, str, str] | None, bar: Bar | None) -> bool:
    if bar is None:
        return True
    metric = quality.find(one.metrics, key)
    return metric is not None and bar.passed_by(metric.value)


def basis(judged: Judged) -> str:
    """Which quality, measured where, against what, and how much of it may be lost."""
    if judged.key is None:
        return "No quality was measured: what follows is of latency, energy and size alone."
    name, against, place = judged.key
    what = f"{name} on the {place}"
    if against == ORIGINAL:
        what += ", against the original's own outputs (agreement, not quality: there are no labels)"
    metric = judged.baseline_metric
    if metric is not None and metric.samples:
        what += f", over {metric.samples:,} samples"
    if judged.bar is None:
        return f"Quality is {what}. 1 % of it means nothing, so nothing is ruled out by it: see its column."
    return f"Quality is {what}. To be shipped, a variant must be {judged.bar.words}."


def left_out(variants: Sequence[Facts]) -> list[str]:
    """Void variants, those of the same reasons together."""
    by_codes: dict[str, list[str]] = {}
    for each in variants:
        if each.void:
            by_codes.setdefault(", ".join(each.codes) or "no reason given", []).append(each.recipe)
    if not by_codes:
        return []
    said = "; ".join(f"{', '.join(recipes)} ({codes})" for codes, recipes in by_codes.items())
    return [f"Void, and so never recommended: {said}."]


def doubts(judged: Judged, one: Facts) -> list[str]:
    """What to know before shipping: what it does to quality, whether the samples settle that, and a degraded
    verdict."""
    notes = []
    lost, metric = judged.lost(one), judged.baseline_metric
    if lost is not None and metric is not None:
        notes.append(_lost(judged, lost, metric))
    elif judged.key is not None:
        notes.append("Its quality was not measured.")
    if one.verdict == "degraded":
        notes.append(f"Its verdict is degraded: {', '.join(one.codes) or 'no reason given'}.")
    return notes


def _lost(judged: Judged, lost: Difference, baseline: Metric) -> str:
    if lost.value == 0:
        text = f"Its {baseline.name} is the baseline's"
    else:
        text = f"Its {baseline.name} differs by {differences.human(lost, share=judged.share)}"
    interval = differences.human_interval(lost, share=judged.share)
    if lost.outcome == differences.SAME or not interval:
        return f"{text}."
    if judged.bar is None or _surely_within(judged.bar, lost, baseline):
        return f"{text} ({interval})."
    return (
        f"{text} as measured; {baseline.samples:,} samples cannot rule out that more than the limit is lost"
        f" ({interval})."
    )


def _surely_within(bar: Bar, lost: Difference, baseline: Metric) -> bool:
    assert lost.ci95 is not None
    return bar.passed_by(baseline.value + lost.ci95[1 if bar.lower_is_better else 0])


def by_how_much(judged: Judged, one: Facts) -> str:
    """ ": -3.2 points of top1", to follow a clause; "" where it can't be said."""
    lost = judged.lost(one)
    if judged.key is None:
        return ""
    if lost is None:
        return ": its quality was not measured" if quality.find(one.metrics, judged.key) is None else ""
    return f": {differences.human(lost, share=judged.share)} of {judged.key[0]}"


def nearest(judged: Judged) -> Facts | None:
    """Of those that quality rules out, the best."""

    def goodness(one: Facts) -> float:
        metric = quality.find(one.metrics, judged.key)
        if metric is None:
            return -math.inf
        return -metric.value if metric.lower_is_better else metric.value

    return max(judged.ruled_out, key=goodness, default=None)
