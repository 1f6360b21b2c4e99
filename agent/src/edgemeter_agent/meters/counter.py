"""Energy that the hardware counts, and the power between two looks at it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgemeter_agent.meters import Reading
from edgemeter_agent.meters.attribute import fault_of

IMPLAUSIBLE_KW = 10.0
"""Nothing that these counters count takes as much: such a step is no wrap but a counter that jumped back."""


@dataclass
class Unwrapped:
    """A counter that starts again at 0 after `range_uj`, as one that does not.

    Attributes:
        read_uj: the counter as it is; raises OSError or ValueError.
        range_uj: 0 where it never wraps.
    """

    read_uj: Callable[[], int]
    range_uj: int
    total_uj: int = 0
    _last_uj: int | None = None
    _last_ns: int = 0

    def read(self, now_ns: int) -> int:
        """Energy since the first read. It must be asked more often than the counter wraps."""
        value_uj = self.read_uj()
        if self._last_uj is not None:
            self.total_uj += step_uj(self._last_uj, value_uj, self.range_uj, now_ns - self._last_ns)
        self._last_uj, self._last_ns = value_uj, now_ns
        return self.total_uj


def step_uj(before_uj: int, after_uj: int, range_uj: int, elapsed_ns: int) -> int:
    """Energy between two looks. Negative where the counter fell and a wrap can't be why."""
    step = after_uj - before_uj
    if step >= 0 or not range_uj:
        return step
    wrapped = step + range_uj
    # 1 kW is 1 uJ a nanosecond.
    plausible = 0 <= wrapped <= IMPLAUSIBLE_KW * max(elapsed_ns, 1)
    return wrapped if plausible else step


def counted_reader(
    counters: Sequence[Unwrapped], rate_hz: float, where: str, remedy: str
) -> Callable[[], Reading]:
    """Readings whose power is the mean since the reading before; the first takes two looks, a period apart.

    They raise MeterError.
    """
    before: list[int] = []
    before_ns = 0

    def look() -> tuple[int, list[int]]:
        began_ns = time.monotonic_ns()
        counts = [counter.read(began_ns) for counter in counters]
        return (began_ns + time.monotonic_ns()) // 2, counts

    def read() -> Reading:
        nonlocal before, before_ns
        try:
            if not before:
                before_ns, before = look()
                time.sleep(1 / rate_hz)
            now_ns, counts = look()
        except (OSError, ValueError) as error:
            fault = fault_of(error, where, remedy)
            return Reading(monotonic_ns=time.monotonic_ns(), total_mw=None, fault=fault)
        elapsed_ns = max(now_ns - before_ns, 1)
        rails_mw = tuple(
            (count - earlier) / elapsed_ns * 1e6 for earlier, count in zip(before, counts, strict=True)
        )
        before_ns, before = now_ns, counts
        return Reading(
            monotonic_ns=now_ns,
            total_mw=sum(rails_mw),
            rails_mw=rails_mw,
            counter_uj=float(sum(counts)),
        )

    return read
