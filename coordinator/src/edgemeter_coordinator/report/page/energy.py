"""Energy over the baseline's. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgemeter_coordinator.report.intervals import Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Energy:
    """Of one sample. Numbers are None unless a meter was read and is to be believed; `why` says why not."""

    status: str
    why: str
    # Beyond the idle board, and with everything that the board takes.
    net_uj: float | None = None
    net_half_uj: float | None = None
    gross_uj: float | None = None
    gross_half_uj: float | None = None
    noun: str = "inference"

    @property
    def spent(self) -> tuple[float, float] | None:
        """Net energy, and half of its 95 % interval."""
        if self.status != "measured" or self.net_uj is None:
            return None
        return self.net_uj, self.net_half_uj or 0.0


def energy_ratio(one: Energy, base: Energy) -> tuple[float, Interval] | None:
    """One's net energy over the other's, with a 95 % interval: relative uncertainties in quadrature (JCGM
    100:2008, 5.1.6), as if they were independent. Errors of the meter's gain, which both share, cancel in
    truth: the interval is too wide rather than too narrow. None where either is missing or the base is not
    above 0."""
    mine, theirs = one.spent, base.spent
    if mine is None or theirs is None or theirs[0] <= 0:
        return None
    ratio = mine[0] / theirs[0]
    half = math.hypot(mine[1] / theirs[0], ratio * theirs[1] / theirs[0])
    return ratio, (ratio - half, ratio + half)
