"""Power meters: one file each. What a meter is, and how one is found by name.

To add one is to add a file here with `find` or `open_spec`, and its line in `meters.registry`. Importing this
module imports no meter and no numpy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event
from typing import Protocol

MODULE, BOARD, WALL, PACKAGE = "module", "board", "wall", "package"
"""What usual meters cover; a meter with gaps says so in words ("SoC and board rails, not USB/5 V")."""

COVERAGE_ORDER = (WALL, BOARD, MODULE)
"""Widest first; a board's own coverage in words comes after them, a processor's package last."""


class MeterError(Exception):
    """A meter that can't be read, for good: one line that says what to do, and a code for the verdict."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        """"meter_gone", "meter_forbidden", "meter_rubbish", …"""
        self.detail = detail


@dataclass(frozen=True, kw_only=True)
class Rail:
    name: str
    in_total: bool
    """Rails that feed others must not be counted twice (reference tables differ by board)."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a meter is, known before it is read.

    Attributes:
        name: unique on this board; what Plan.meter asks for: "ina3221", "rapl", "exec:PROGRAM".
        kind: of the file that reads it.
        coverage: `MODULE`, `BOARD`, `WALL`, `PACKAGE`, or words.
        rate_hz: readings a second that it can give, or is asked for.
        resolution_mw: smallest step of the total.
        gain_error: standard uncertainty of the gain, as a share. A datasheet's maximum is divided by sqrt(3)
            (GUM 4.3.7, rectangular).
        offset_error_mw: standard uncertainty of the zero.
        lag_s: time constant of a first-order lag, 0 for none.
        has_counter: readings carry energy that the hardware counted.
        detail: how it is read: a path, a host.
    """

    name: str
    kind: str
    coverage: str
    rails: tuple[Rail, ...]
    rate_hz: float
    resolution_mw: float
    gain_error: float
    offset_error_mw: float
    lag_s: float
    has_counter: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One reading. A fault ("EAGAIN", "ENODATA", …) is a reading without numbers: it makes a gap.

    Attributes:
        monotonic_ns: CLOCK_MONOTONIC of this board, midway through the read.
        total_mw: None where there is none; negative values are real, near zero.
        rails_mw: in the description's order; None for a rail that could not be read.
        counter_uj: energy since some moment, unwrapped: it never falls, but for a meter that jumps back.
    """

    monotonic_ns: int
    total_mw: float | None
    rails_mw: tuple[float | None, ...] = ()
    counter_uj: float | None = None
    fault: str = ""


class Meter(Protocol):
    """A meter that was opened; only one thread uses it."""

    @property
    def description(self) -> Description: ...

    def readings(self, stop: Event) -> Iterator[Reading]:
        """Readings at the meter's own pace until `stop` is set; transient faults come as readings.

        Raises MeterError where there will be no more.
        """

    def close(self) -> None:
        """Gives back what it holds. May be called again."""


@dataclass(frozen=True, kw_only=True)
class Unusable:
    """A meter that is here and can't be used, and what to do about it: "add agent to group i2c"."""

    name: str
    reason: str
