"""Meters for tests that need no board."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Event

from edgemeter_agent.meters import Description, MeterError, Reading

Says = Callable[[int], float | MeterError | None]


class ScriptedMeter:
    """Gives what `says` of a time of CLOCK_MONOTONIC in ns: a power, None for a fault, or a MeterError to
    raise.

    It measures by a clock of its own and keeps what nobody has asked for yet: however busy the machine that
    runs the test, no reading is missing.
    """

    def __init__(self, description: Description, says: Says, alignment_ns: int = 0) -> None:
        self.description = description
        self.alignment_ns = alignment_ns
        self.closed = False
        self._says = says

    def readings(self, stop: Event) -> Iterator[Reading]:
        period_ns = round(1e9 / self.description.rate_hz)
        due_ns = time.monotonic_ns()
        while not stop.is_set():
            while due_ns <= time.monotonic_ns():
                yield self._reading(due_ns)
                due_ns += period_ns
            stop.wait((due_ns - time.monotonic_ns()) / 1e9)

    def _reading(self, at_ns: int) -> Reading:
        power = self._says(at_ns)
        if isinstance(power, MeterError):
            raise power
        if power is None:
            return Reading(monotonic_ns=at_ns, total_mw=None, fault="EAGAIN")
        return Reading(monotonic_ns=at_ns, total_mw=power, rails_mw=(power,))

    def close(self) -> None:
        self.closed = True
