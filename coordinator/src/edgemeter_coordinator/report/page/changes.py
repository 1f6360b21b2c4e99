"""What each recipe changed against the baseline: size, quality, latency, energy. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgemeter_coordinator.report.page import differences
from edgemeter_coordinator.report.page import metrics as quality
from edgemeter_coordinator.report.page.advice import Advice
from edgemeter_coordinator.report.page.energy import energy_ratio
from edgemeter_coordinator.report.page.facts import Facts
from edgemeter_coordinator.report.page.wording import between, times

BETTER, WORSE, UNSURE, SAME, ABSENT = "better", "worse", "unsure", "same", "absent"
"""What a change is worth. UNSURE: the interval can't tell; ABSENT: not measured, or not to be believed."""

WORDS = {BETTER: "better", WORSE: "worse", UNSURE: "cannot tell", SAME: "no change"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """`text` "0.48x" or "-0.4 points"; `interval` "0.46 to 0.50", "" where there is none; `word` "faster"."""

    worth: str
    text: str = ""
    interval: str = ""
    word: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    recipe: str
    size: Change
    quality: Change
    latency: Change
    energy: Change


def changes(variants: Sequence[Facts], advice: Advice) -> list[Changes]:
    """Of every variant but the baseline, in their order; none where there is no baseline."""
    baseline = next((each for each in variants if each.is_baseline), None)
    if baseline is None:
        return []
    every = [metric for each in variants if (metric := quality.find(each.metrics, advice.metric)) is not None]
    share = quality.is_share(every)
    return [
        Changes(
            recipe=each.recipe,
            size=_size(each, baseline),
            quality=_quality(each, baseline, advice, share=share),
            latency=latency(each, baseline),
            energy=_energy(each, baseline),
        )
        for each in variants
        if not each.is_baseline
    ]


def latency(one: Facts, baseline: Facts) -> Change:
    """A void run's ratio is no evidence, whichever of the two is void."""
    if one.ratio is None:
        return Change(worth=ABSENT, word="not measured")
    if one.void or baseline.void:
        return Change(worth=ABSENT, text=times(one.ratio), word="void")
    worth, word = {
        "faster": (BETTER, "faster"),
        "slower": (WORSE, "slower"),
    }.get(one.outcome or "", (UNSURE, "cannot tell"))
    return Change(worth=worth, text=times(one.ratio), interval=between(one.ratio_ci95), word=word)


def _size(one: Facts, baseline: Facts) -> Change:
    if not (one.size_bytes and baseline.size_bytes):
        return Change(worth=ABSENT)
    ratio = one.size_bytes / baseline.size_bytes
    # What rounds to 1.00 is the format's small print.
    if abs(ratio - 1) < 0.005:
        return Change(worth=SAME, text=times(ratio), word="no change")
    return Change(
        worth=BETTER if ratio < 1 else WORSE, text=times(ratio), word="smaller" if ratio < 1 else "larger"
    )


def _quality(one: Facts, baseline: Facts, advice: Advice, *, share: bool) -> Change:
    if advice.metric is None:
        return Change(worth=ABSENT, word="not measured")
    lost = differences.difference(one.metrics, baseline.metrics, advice.metric)
    if lost is None:
        return Change(worth=ABSENT, word="not measured")
    worth = {"better": BETTER, "worse": WORSE, "same": SAME, "cannot_tell": UNSURE}[lost.outcome]
    return Change(
        worth=worth,
        text=differences.human(lost, share=share),
        interval="" if worth == SAME else differences.human_interval(lost, share=share),
        word=WORDS[worth],
    )


def _energy(one: Facts, baseline: Facts) -> Change:
    found = energy_ratio(one.energy, baseline.energy)
    if found is None:
        return Change(worth=ABSENT, word="not measured")
    ratio, interval = found
    if one.void or baseline.void:
        return Change(worth=ABSENT, text=times(ratio), word="void")
    if interval[1] < 1:
        worth, word = BETTER, "less"
    elif interval[0] > 1:
        worth, word = WORSE, "more"
    else:
        worth, word = UNSURE, "cannot tell"
    return Change(worth=worth, text=times(ratio), interval=between(interval), word=word)
