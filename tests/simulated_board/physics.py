"""What a board takes while it computes, and what that is in energy: the truth that a meter is held
against."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(kw_only=True)
class Board:
    """Power of a board, by its load and its temperature.

    Attributes:
        idle_mw: at `ambient_c`, nothing running.
        core_mw: that one busy core adds at full clock.
        leakage_mw_per_c: that a warmer chip adds.
        heating_c_per_w: above ambient, in the end.
        warming_s: time constant of the temperature.
        clock: of the full one; a throttled board has less, and takes less by its square.
    """

    idle_mw: float = 4000.0
    core_mw: float = 5000.0
    leakage_mw_per_c: float = 10.0
    ambient_c: float = 40.0
    heating_c_per_w: float = 2.0
    warming_s: float = 30.0
    clock: float = 1.0
    temperature_c: float = 40.0

    def advance(self, busy_cores: float, elapsed_s: float) -> float:
        """Mean power in mW over `elapsed_s` in which so many cores were busy; warms the board up."""
        power = (
            self.idle_mw
            + self.core_mw * busy_cores * self.clock**2
            + self.leakage_mw_per_c * (self.temperature_c - self.ambient_c)
        )
        settled_c = self.ambient_c + self.heating_c_per_w * power / 1000
        self.temperature_c += (settled_c - self.temperature_c) * -math.expm1(-elapsed_s / self.warming_s)
        return power


class Truth:
    """Energy since the start: exact at the steps that were taken, linear between them, as power is constant
    over a step."""

    def __init__(self, begin_ns: int) -> None:
        self._stamps = [begin_ns]
        self._energy_uj = [0.0]

    def add(self, until_ns: int, power_mw: float) -> None:
        elapsed_ns = until_ns - self._stamps[-1]
        self._energy_uj.append(self._energy_uj[-1] + power_mw * elapsed_ns * 1e-6)
        self._stamps.append(until_ns)

    def energy_uj(self, begin_ns: int, end_ns: int) -> float:
        """Raises ValueError for a span that was not played."""
        if not self._stamps[0] <= begin_ns <= end_ns <= self._stamps[-1]:
            raise ValueError(f"{begin_ns} to {end_ns} is not within {self._stamps[0]} to {self._stamps[-1]}")
        since = np.array([stamp - self._stamps[0] for stamp in self._stamps], np.float64)
        at = np.array([begin_ns - self._stamps[0], end_ns - self._stamps[0]], np.float64)
        begin_uj, end_uj = np.interp(at, since, self._energy_uj)
        return float(end_uj - begin_uj)

    def mean_mw(self, begin_ns: int, end_ns: int) -> float:
        return self.energy_uj(begin_ns, end_ns) / ((end_ns - begin_ns) * 1e-6)
