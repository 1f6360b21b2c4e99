"""A rate that was counted in simulations, and what it had to be."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    group: str
    what: str
    runs: int
    hits: int
    least: float = 0.0
    most: float = 1.0
    """The rate is wanted between these."""
    informative: bool = False
    """Shown for comparison: nothing is wanted of it."""

    @property
    def rate(self) -> float:
        return self.hits / self.runs

    @property
    def error(self) -> float:
        """Two standard errors of the count itself."""
        return 2 * math.sqrt(max(self.rate * (1 - self.rate), 1 / self.runs) / self.runs)

    @property
    def met(self) -> bool:
        """The runs do not show that the rate is outside."""
        return self.least - self.error <= self.rate <= self.most + self.error

    def text(self) -> str:
        if self.informative:
            wanted, met = "-", "-"
        else:
            wanted = f"{self.least:.0%} to {self.most:.0%}"
            met = "yes" if self.met else "NO"
        return (
            f"{self.group:<12} {self.what:<74} {self.rate:>7.1%} ± {self.error:<6.1%} {wanted:<14} {met:<4}"
            f" {self.runs}"
        )
