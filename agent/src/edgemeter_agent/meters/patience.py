"""From when on a meter that keeps failing is gone."""

from __future__ import annotations

import time
from collections.abc import Callable

from edgemeter_agent.meters import MeterError

PATIENCE_S = 10.0
"""One failed read is a gap in the trace. Nothing but failures for so long is no meter any more."""


class Patience:
    def __init__(
        self, name: str, limit_s: float = PATIENCE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._limit_s = limit_s
        self._clock = clock
        self._failing_since_s: float | None = None

    def succeeded(self) -> None:
        self._failing_since_s = None

    def failed(self, code: str, detail: str) -> None:
        """Raises MeterError with `code` where it has failed for too long."""
        now_s = self._clock()
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        if now_s - self._failing_since_s >= self._limit_s:
            raise MeterError(code, f"{self._name}: {detail}, for {self._limit_s:g} s without a pause")
