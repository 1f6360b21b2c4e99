"""The clock of the day against the monotonic one."""

from __future__ import annotations

import time

import pytest

from edgemeter_agent.board.clock import realtime_offset_ns

HOUR_NS = 3_600_000_000_000


def test_the_two_clocks_of_this_machine() -> None:
    assert abs(realtime_offset_ns() - (time.time_ns() - time.monotonic_ns())) < HOUR_NS


class Clocks:
    """The day began 1 s before the machine; the processor is lost for `pauses` within each try."""

    def __init__(self, *pauses_ns: int) -> None:
        self.now_ns, self.pauses_ns, self.tries = 0, pauses_ns, 0

    def monotonic_ns(self) -> int:
        self.now_ns += 10
        return self.now_ns

    def time_ns(self) -> int:
        realtime_ns = self.now_ns + 1_000_000_000
        self.now_ns += self.pauses_ns[self.tries]
        self.tries += 1
        return realtime_ns


@pytest.mark.parametrize(
    ("pauses_ns", "tries"), [((0,), 1), ((80_000_000, 0), 2), ((80_000_000, 100_000, 90_000_000), 3)]
)
def test_a_process_that_lost_its_processor_sees_no_jump(
    monkeypatch: pytest.MonkeyPatch, pauses_ns: tuple[int, ...], tries: int
) -> None:
    clocks = Clocks(*pauses_ns)
    monkeypatch.setattr(time, "monotonic_ns", clocks.monotonic_ns)
    monkeypatch.setattr(time, "time_ns", clocks.time_ns)
    assert abs(realtime_offset_ns() - 1_000_000_000) <= 100_000
    assert clocks.tries == tries
