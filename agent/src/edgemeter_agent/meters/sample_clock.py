"""From an instrument's sample count to this board's clock, by when its messages come in."""

from __future__ import annotations

MAX_DRIFT = 100e-6
"""Two crystals differ by less (20 to 50 ppm each)."""


class SampleClock:
    """A message can come late and never early: the earliest one, so far, tells the offset.

    What it tells ages: it is let go at the rate at which the clocks may part, so that a later message can
    correct it in either direction. The error left is the shortest time that a message takes, about a
    millisecond on USB, and MAX_DRIFT x the time since the last message that was as short. Pure.
    """

    def __init__(self) -> None:
        self._offset_ns: float | None = None
        self._last_ns = 0

    def to_monotonic_ns(self, sample_ns: int, arrival_ns: int) -> int:
        """CLOCK_MONOTONIC of the sample at `sample_ns` of the instrument, which arrived at `arrival_ns`."""
        seen_ns = float(arrival_ns - sample_ns)
        if self._offset_ns is None:
            self._offset_ns = seen_ns
        else:
            let_go_ns = MAX_DRIFT * max(arrival_ns - self._last_ns, 0)
            self._offset_ns = min(self._offset_ns + let_go_ns, seen_ns)
        self._last_ns = arrival_ns
        return sample_ns + round(self._offset_ns)
