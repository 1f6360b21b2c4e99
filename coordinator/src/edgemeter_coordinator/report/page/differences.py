"""How far two variants are apart in a metric, with the narrowest interval that is to be had. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgemeter_coordinator.report.page.metrics import Metric, find
from edgemeter_protos.against import ORIGINAL

BETTER, WORSE, SAME, CANNOT_TELL = "better", "worse", "same", "cannot_tell"

_Z_95 = 1.959963984540054


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A variant's value minus the baseline's, in the metric's own unit."""

    value: float
    ci95: tuple[float, float] | None
    lower_is_better: bool

    @property
    def outcome(self) -> str:
        """BETTER, WORSE, SAME (the very same value, for sure) or CANNOT_TELL."""
        if self.ci95 is None:
            return CANNOT_TELL if self.value else SAME
        low, high = self.ci95
        if low == high == 0:
            return SAME
        if low <= 0 <= high:
            return CANNOT_TELL
        return WORSE if (low > 0) == self.lower_is_better else BETTER


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
    """Interval of a difference d = m - t from the two values' own: from d - sqrt((m - l1)^2 + (u2 - t)^2),
    likewise above, as if the samples were not the same. Since they are, it is too wide rather than too
    narrow.

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
    """From the ratio to the original's perplexity, whose interval is over the same windows' differences;
    where the baseline's own ratio is 1 to a thousandth, it stands for the original."""
    if mine.name != "perplexity":
        return None
    key = ("perplexity_ratio", ORIGINAL, mine.place)
    ratio, base = find(variant, key), find(baseline, key)
    if ratio is None or ratio.ci95 is None or base is None or abs(base.value - 1) > 1e-3:
        return None
    low, high = sorted(each / ratio.value * mine.value - theirs.value for each in ratio.ci95)
    return low, high


def human(one: Difference, *, share: bool) -> str:
    """ "-0.4 points", "+0.12" with typography's minus."""
    return _points(one.value) + " points" if share else signed(one.value)


def human_interval(one: Difference, *, share: bool) -> str:
    """ "-1.2 to +0.4"; "" where it has none."""
    if one.ci95 is None:
        return ""
    low, high = one.ci95
    return f"{_points(low)} to {_points(high)}" if share else f"{signed(low)} to {signed(high)}"


def signed(value: float) -> str:
    """ "+0.12", "-3.4" with the minus of typography, "0"."""
    return f"{_sign(value)}{abs(value):.3g}" if value else "0"


def _points(value: float) -> str:
    text = f"{abs(value) * 100:.{1 if abs(value) >= 0.0005 else 2}f}"
    return "0" if float(text) == 0 else _sign(value) + text


def _sign(value: float) -> str:
    return "\N{MINUS SIGN}" if value < 0 else "+"
