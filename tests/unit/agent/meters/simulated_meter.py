"""A meter that reads what a test says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Event

from edgemeter_agent.meters import BOARD, Description, MeterError, Rail, Reading


class SimulatedMeter:
    """`power_mw` gives each reading's total; None is a fault; a MeterError ends the readings."""

    def __init__(
        self,
        name: str = "simulated",
        coverage: str = BOARD,
        power_mw: Callable[[], float | MeterError | None] = lambda: 5000.0,
        *,
        rate_hz: float = 1000.0,
        lag_s: float = 0.0,
        resolution_mw: float = 1.0,
        gain_error: float = 0.01,
        offset_error_mw: float = 10.0,
        has_counter: bool = False,
    ) -> None:
        self.description = Description(
            name=name,
            kind="simulated",
            coverage=coverage,
            rails=(Rail(name="VIN", in_total=True),),
            rate_hz=rate_hz,
            resolution_mw=resolution_mw,
            gain_error=gain_error,
            offset_error_mw=offset_error_mw,
            lag_s=lag_s,
            has_counter=has_counter,
            detail="a test",
        )
        self.closed = False
        self._power_mw = power_mw

    def readings(self, stop: Event) -> Iterator[Reading]:
        while not stop.wait(1 / self.description.rate_hz):
            power = self._power_mw()
            now_ns = time.monotonic_ns()
            if isinstance(power, MeterError):
                raise power
            if power is None:
                yield Reading(monotonic_ns=now_ns, total_mw=None, fault="EAGAIN")
            else:
                yield Reading(monotonic_ns=now_ns, total_mw=power, rails_mw=(power,))

    def close(self) -> None:
        self.closed = True
