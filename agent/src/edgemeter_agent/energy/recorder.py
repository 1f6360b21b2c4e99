"""Readings in bounded memory."""

from __future__ import annotations

from array import array

import numpy as np

from edgemeter_agent.energy.trace import Trace
from edgemeter_agent.meters import Reading

MAX_READINGS = 400_000
"""About two hours at 50 a second; 16 MB with three rails. Beyond it neighbours are averaged by pairs."""
MAX_FAULTS = 20_000


class Recorder:
    """Readings as they come. Where there are too many, pairs of neighbours become their means, for the past
    and from then on: the trapezoidal rule over means gives the same energy, and edges are half as sharp.

    Counted energy is kept as the mean of each pair as well, which is what the counter showed at the mean of
    their stamps.
    """

    def __init__(self, rails: int, max_readings: int = MAX_READINGS) -> None:
        self._rails = rails
        self._max_readings = max_readings
        self._averaged = 1
        """Readings in one that is kept."""
        self._pending: list[Reading] = []
        self._stamps = array("q")
        self._numbers = array("d")
        self._faults: list[tuple[int, str]] = []
        self._counted = True
        self.last_ns = 0
        """Stamp of the last reading that was added, of a fault too."""

    @property
    def _width(self) -> int:
        """Total, counter, rails."""
        return 2 + self._rails

    def add(self, reading: Reading) -> None:
        self.last_ns = reading.monotonic_ns
        if reading.total_mw is None:
            if len(self._faults) < MAX_FAULTS:
                self._faults.append((reading.monotonic_ns, reading.fault))
            return
        if self._averaged > 1:
            self._pending.append(reading)
            if len(self._pending) == self._averaged:
                rows = np.array([self._row(each) for each in self._pending], np.float64)
                stamps = [each.monotonic_ns for each in self._pending]
                self._pending.clear()
                self._keep(sum(stamps) // len(stamps), rows.mean(axis=0).tolist())
        else:
            self._keep(reading.monotonic_ns, self._row(reading))

    def _row(self, reading: Reading) -> list[float]:
        if reading.counter_uj is None:
            self._counted = False
        rails = [np.nan if rail is None else rail for rail in reading.rails_mw[: self._rails]]
        rails += [np.nan] * (self._rails - len(rails))
        total = np.nan if reading.total_mw is None else reading.total_mw
        return [total, np.nan if reading.counter_uj is None else reading.counter_uj, *rails]

    def _keep(self, stamp_ns: int, row: list[float]) -> None:
        self._numbers.extend(row)
        # Last: `trace` may be asked by another thread, and counts stamps.
        self._stamps.append(stamp_ns)
        if len(self._stamps) >= self._max_readings:
            self._halve()

    def _halve(self) -> None:
        pairs = len(self._stamps) // 2
        stamps = np.array(self._stamps, np.int64)[: 2 * pairs].reshape(pairs, 2)
        rows = np.array(self._numbers, np.float64).reshape(-1, self._width)[: 2 * pairs]
        halved = rows.reshape(pairs, 2, self._width).mean(axis=1)
        self._stamps = array("q", (stamps[:, 0] + (stamps[:, 1] - stamps[:, 0]) // 2).tobytes())
        self._numbers = array("d", halved.tobytes())
        self._averaged *= 2

    def trace(self) -> Trace:
        """A copy of what there is."""
        stamps = np.array(self._stamps, np.int64)
        rows = np.array(self._numbers, np.float64).reshape(-1, self._width)
        counted = self._counted and stamps.size > 0
        return Trace(
            monotonic_ns=stamps,
            total_mw=rows[:, 0].copy(),
            rails_mw=rows[:, 2:].copy(),
            counter_uj=rows[:, 1].copy() if counted else np.zeros(0),
            faults=tuple(self._faults),
        )
