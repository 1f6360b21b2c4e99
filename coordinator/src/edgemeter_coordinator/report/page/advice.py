"""What to ship: for the least latency, for the least energy, the smallest. Pure.

What is recommended is within the quality bar as measured, has a verdict that is not void, and is surely
better than the baseline: where the intervals can't tell, that is what is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edgemeter_coordinator.report.intervals import Interval, meet
from edgemeter_coordinator.report.page.energy import energy_ratio
from edgemeter_coordinator.report.page.facts import Facts
from edgemeter_coordinator.report.page.judging import (
    Judged,
    basis,
    by_how_much,
    doubts,
    judge,
    left_out,
    nearest,
)
from edgemeter_coordinator.report.page.metrics import Bar
from edgemeter_coordinator.report.page.wording import listed, times
from edgemeter_protos.report import units

LATENCY, ENERGY, SIZE = "latency", "energy", "size"

SHIP, STAY, CANNOT_TELL, NONE = "ship", "stay", "cannot_tell", "none"
"""A variant is to be shipped; nothing is better than the baseline; nothing is surely better, and something
may be; there is no answer, and `headline` says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The answer to one of the three questions.

    Attributes:
        recipe: to ship: the baseline where nothing is surely better; None where there is no answer.
        headline: a clause that begins with a capital and ends without a full stop.
        brief: the same in a few words, beside the recipe's name.
        ratio: the recipe's latency, energy or size over the baseline's.
        notes: sentences on what else to know.
    """

    wanted: str
    answer: str
    recipe: str | None
    headline: str
    brief: str
    ratio: float | None = None
    ratio_ci95: Interval | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """`basis` says by which quality the choices are limited, and how; `notes` what was left out."""

    basis: str
    metric: tuple[str, str, str] | None
    bar: Bar | None
    choices: tuple[Choice, ...]
    notes: tuple[str, ...] = ()


def advise(variants: Sequence[Facts]) -> Advice:
    """Of one device, the study's order of variants."""
    judged = judge(variants)
    return Advice(
        basis=basis(judged),
        metric=judged.key,
        bar=judged.bar,
        choices=_said_once((_latency(judged), _energy(judged), _size(judged))),
        notes=tuple(left_out(variants)),
    )


def _said_once(choices: tuple[Choice, ...]) -> tuple[Choice, ...]:
    """Where they name the same variant, what there is to doubt is said at the first."""
    said: set[str] = set()
    kept = []
    for choice in choices:
        kept.append(replace(choice, notes=tuple(note for note in choice.notes if note not in said)))
        said.update(choice.notes)
    return tuple(kept)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rival:
    """A variant that is not the baseline, with its cost over the baseline's."""

    facts: Facts
    ratio: float
    interval: Interval | None
    # Surely less than the baseline; the intervals can't tell.
    less: bool
    undecided: bool


def _latency(judged: Judged) -> Choice:
    timed = [each for each in judged.eligible if each.p50_ns is not None]
    base = judged.base
    if base is None or base.p50_ns is None:
        return _without_baseline(judged, LATENCY, timed, lambda each: each.p50_ns, units.human_ns)
    rivals = [_by_latency(each) for each in timed if not each.is_baseline]
    best, tied = _best(rivals)
    if best is None:
        return _nothing_better(judged, LATENCY, "surely faster", rivals)
    further = [
        each
        for each in judged.ruled_out
        if each.outcome == "faster" and each.ratio is not None and each.ratio < best.ratio
    ]
    return Choice(
        wanted=LATENCY,
        answer=SHIP,
        recipe=best.facts.recipe,
        headline=f"Ship {best.facts.recipe}: {_as_fast(best.ratio)} the baseline",
        brief=_as_fast(best.ratio).removesuffix(" as").removesuffix(" than"),
        ratio=best.ratio,
        ratio_ci95=best.interval,
        notes=(
            *_ties(tied, "as fast"),
            *doubts(judged, best.facts),
            *_further(
                judged,
                further,
                lambda each: each.ratio or math.inf,
                lambda ratio: f"{times(ratio)} the latency",
            ),
        ),
    )


def _by_latency(one: Facts) -> _Rival:
    return _Rival(
        facts=one,
        ratio=one.ratio if one.ratio is not None else math.inf,
        interval=one.ratio_ci95,
        less=one.outcome == "faster" and one.ratio is not None,
        undecided=one.outcome == "cannot_tell",
    )


def _energy(judged: Judged) -> Choice:
    measured = [each for each in judged.eligible if each.energy.spent is not None]
    if not measured:
        reasons = dict.fromkeys(each.energy.why for each in judged.every if each.energy.why)
        why = "; ".join(reasons) or "no variant that could be shipped has a reading to be believed"
        return Choice(
            wanted=ENERGY,
            answer=NONE,
            recipe=None,
            headline=f"Energy was not measured: {why}",
            brief="not measured",
        )
    base = judged.base
    if base is None or base.energy.spent is None or base.energy.spent[0] <= 0:
        return _without_baseline(judged, ENERGY, measured, lambda each: each.energy.net_uj, units.human_uj)
    rivals = [_by_energy(each, base) for each in measured if not each.is_baseline]
    best, tied = _best(rivals)
    if best is None:
        return _nothing_better(judged, ENERGY, "surely below its energy", rivals)
    less = f"{units.percent(1 - best.ratio)} less energy"
    spent = f"{units.human_uj(best.facts.energy.net_uj)} net per {best.facts.energy.noun}"
    return Choice(
        wanted=ENERGY,
        answer=SHIP,
        recipe=best.facts.recipe,
        headline=f"Ship {best.facts.recipe}: {less} than the baseline, {spent}",
        brief=less,
        ratio=best.ratio,
        ratio_ci95=best.interval,
        notes=(*_ties(tied, "as frugal"), *doubts(judged, best.facts)),
    )


def _by_energy(one: Facts, base: Facts) -> _Rival:
    found = energy_ratio(one.energy, base.energy)
    if found is None:
        return _Rival(facts=one, ratio=math.inf, interval=None, less=False, undecided=True)
    ratio, (low, high) = found
    return _Rival(facts=one, ratio=ratio, interval=(low, high), less=high < 1, undecided=low <= 1 <= high)


def _size(judged: Judged) -> Choice:
    """A file's size has no interval, and does not depend on how the run went; a void run's variant is not
    recommended all the same."""
    base = judged.baseline
    others = [each for each in judged.eligible if not each.is_baseline]
    if base is None:
        return _without_baseline(judged, SIZE, others, lambda each: each.size_bytes, units.human_bytes)
    rivals = [
        _Rival(
            facts=each,
            ratio=each.size_bytes / base.size_bytes if base.size_bytes else math.inf,
            interval=None,
            less=each.size_bytes < base.size_bytes,
            undecided=False,
        )
        for each in others
    ]
    best = min((rival for rival in rivals if rival.less), key=lambda rival: rival.ratio, default=None)
    if best is None:
        return _nothing_better(judged, SIZE, "smaller", rivals)
    further = [each for each in judged.ruled_out if each.size_bytes < best.facts.size_bytes]
    smaller = f"{units.human_bytes(best.facts.size_bytes)}, {units.percent(1 - best.ratio)} smaller"
    slower = []
    if best.facts.outcome == "slower" and best.facts.ratio is not None:
        slower = [f"It is slower than the baseline: {times(best.facts.ratio)} its latency."]
    return Choice(
        wanted=SIZE,
        answer=SHIP,
        recipe=best.facts.recipe,
        headline=f"Ship {best.facts.recipe}: {smaller} than the baseline",
        brief=smaller,
        ratio=best.ratio,
        notes=(
            *slower,
            *doubts(judged, best.facts),
            *_further(judged, further, lambda each: each.size_bytes, units.human_bytes),
        ),
    )


def _best(rivals: Sequence[_Rival]) -> tuple[_Rival | None, list[Facts]]:
    """The least of those that are surely less than the baseline, and which of the others may be as little."""
    less = sorted((rival for rival in rivals if rival.less), key=lambda rival: rival.ratio)
    if not less:
        return None, []
    best, *others = less
    return best, [each.facts for each in others if meet(each.interval, best.interval)]


def _nothing_better(judged: Judged, wanted: str, better: str, rivals: Sequence[_Rival]) -> Choice:
    """The baseline it is; or there was nothing to compare it with."""
    base = judged.baseline
    assert base is not None
    if rivals:
        undecided = [rival.facts.recipe for rival in rivals if rival.undecided]
        good = " that is good enough" if judged.bar is not None else ""
        return Choice(
            wanted=wanted,
            answer=CANNOT_TELL if undecided else STAY,
            recipe=base.recipe,
            headline=f"Stay with {base.recipe}: nothing{good} is {better}",
            brief=f"nothing is {better}",
            ratio=1.0,
            notes=(_whether(undecided, "better"),) if undecided else (),
        )
    best = nearest(judged)
    if best is not None:
        return Choice(
            wanted=wanted,
            answer=STAY,
            recipe=base.recipe,
            headline=f"Stay with {base.recipe}: nothing else is good enough",
            brief="nothing else is good enough",
            ratio=1.0,
            notes=(f"The nearest in quality is {best.recipe}{by_how_much(judged, best)}.",),
        )
    doubtful = len(judged.sound) < len(judged.every)
    why = "no other variant has a verdict to be believed" if doubtful else "there is no other variant"
    return Choice(wanted=wanted, answer=NONE, recipe=None, headline=f"Nothing to compare: {why}", brief=why)


def _without_baseline(
    judged: Judged,
    wanted: str,
    found: Sequence[Facts],
    cost: Callable[[Facts], float | None],
    human: Callable[[float | None], str],
) -> Choice:
    """No baseline to compare with: the least is named, and why that is no recommendation."""
    known = [each for each in found if cost(each) is not None]
    if not known:
        why = "no variant has a verdict to be believed"
        if judged.sound:
            why = "none that was measured is good enough" if judged.ruled_out else "none was measured"
        return Choice(
            wanted=wanted, answer=NONE, recipe=None, headline=f"No recommendation: {why}", brief=why
        )
    best = min(known, key=lambda each: cost(each) or 0.0)
    gone = judged.baseline
    if gone is None:
        why = "the baseline was not measured here"
    else:
        why = f"{gone.recipe}, the baseline, {'is void' if gone.void else 'has none'}"
    return Choice(
        wanted=wanted,
        answer=NONE,
        recipe=None,
        headline=f"No recommendation: {why}, so there is nothing to compare with",
        brief=why,
        notes=(f"The least that was measured is {best.recipe}'s: {human(cost(best))}.",),
    )


def _further(
    judged: Judged,
    those: Sequence[Facts],
    cost: Callable[[Facts], float],
    human: Callable[[float], str],
) -> list[str]:
    """What one would gain by giving up more quality."""
    best = min(those, key=cost, default=None)
    if best is None:
        return []
    gain = human(cost(best))
    return [f"{best.recipe} would go further ({gain}), but is not good enough{by_how_much(judged, best)}."]


def _ties(tied: Sequence[Facts], how: str) -> list[str]:
    return [_whether([each.recipe for each in tied], how)] if tied else []


def _whether(recipes: Sequence[str], how: str) -> str:
    verb = "is" if len(recipes) == 1 else "are"
    return f"Whether {listed(recipes)} {verb} {how}, the intervals cannot tell."


def _as_fast(ratio: float) -> str:
    """Of a latency ratio, with the proper sign: "2.1x as fast as"; for little, "12 % less latency than"."""
    if ratio > 0.8:
        return f"{units.percent(1 - ratio)} less latency than"
    return f"{1 / ratio:.1f}\N{MULTIPLICATION SIGN} as fast as"
