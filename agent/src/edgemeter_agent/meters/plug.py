"""What plugs with a meter have in common: they are asked over HTTP, about once a second.

A plug's energy counter has coarse steps (3.6 J at best, 3600 J at worst) and moves seldom, so that power is
integrated unless ?counter=yes asks for the counter, which suits windows of an hour.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event

from edgemeter_agent.meters import WALL, Description, MeterError, Reading
from edgemeter_agent.meters.http_json import HttpFault
from edgemeter_agent.meters.pacing import paced
from edgemeter_agent.meters.patience import PATIENCE_S, Patience
from edgemeter_agent.meters.spec import Spec

RATE_HZ = 1.0
TIMEOUT_S = 2.0

GAIN_ERROR = 0.02 / math.sqrt(3)
"""An assumption: 2 % at most. Makers give about 1 % for a load of many watts, and boards take few."""
OFFSET_MW = 100 / math.sqrt(3)
"""An assumption too: 0.1 W, the step of most."""
RESOLUTION_MW = 100.0
LAG_S = 1.0
"""An assumption: their chips average over about a second. ?lag_s= says better."""

UJ_PER_WH = 3.6e9


@dataclass(frozen=True, kw_only=True)
class PlugValue:
    watts: float
    watt_hours: float


class PlugMeter:
    """See meters.Meter."""

    def __init__(
        self, spec: Spec, ask: Callable[[], PlugValue], detail: str, patience_s: float = PATIENCE_S
    ) -> None:
        """Asks once. `ask` raises HttpFault. Raises MeterError."""
        self._ask = ask
        self._counts = spec.choice("counter", ("yes", "no"), "no") == "yes"
        self._patience = Patience(spec.name, patience_s)
        try:
            ask()
        except HttpFault as fault:
            raise refused(spec, fault) from None
        self.description = spec.described(
            Description(
                name=spec.name,
                kind=spec.kind,
                coverage=WALL,
                rails=(),
                rate_hz=RATE_HZ,
                resolution_mw=RESOLUTION_MW,
                gain_error=GAIN_ERROR,
                offset_error_mw=OFFSET_MW,
                lag_s=LAG_S,
                has_counter=self._counts,
                detail=detail,
            )
        )

    @property
    def alignment_ns(self) -> float:
        """Standard uncertainty of the stamps: its value is 0 to 1 s old."""
        return 1e9 / RATE_HZ / math.sqrt(12)

    def readings(self, stop: Event) -> Iterator[Reading]:
        return paced(self.read, RATE_HZ, stop)

    def close(self) -> None:
        """Nothing is held between two questions."""

    def read(self) -> Reading:
        """One reading, now. Raises MeterError."""
        before_ns = time.monotonic_ns()
        try:
            value = self._ask()
        except HttpFault as fault:
            self._patience.failed("meter_rubbish" if fault.code == "rubbish" else "meter_gone", fault.detail)
            return Reading(monotonic_ns=time.monotonic_ns(), total_mw=None, fault=fault.code)
        self._patience.succeeded()
        return Reading(
            monotonic_ns=(before_ns + time.monotonic_ns()) // 2,
            total_mw=1000 * value.watts,
            counter_uj=UJ_PER_WH * value.watt_hours if self._counts else None,
        )


def refused(spec: Spec, fault: HttpFault) -> MeterError:
    """What a fault means where it is the first answer."""
    if fault.code in ("http_401", "http_403"):
        return MeterError("meter_forbidden", f"{spec.name} asks for a password: switch that off for it")
    code = "meter_rubbish" if fault.code == "rubbish" else "meter_unreachable"
    return MeterError(code, f"{spec.name}: {fault.detail}")
