from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.conditions.judge import Machine
from edgemeter_agent.conditions.settle import settle, unsettled_because
from edgemeter_protos.v1 import result_pb2

MACHINE = Machine(cpu_count=4, threads=1, tick_ns=10_000_000)
SECOND_NS = 1_000_000_000
TRIPS = Machine(cpu_count=4, threads=1, tick_ns=10_000_000, trips_millicelsius={"tj-thermal": 95_000})


@pytest.mark.parametrize(
    ("after", "reasons"),
    [
        ({}, ()),
        ({"temperature_millicelsius": 52_350}, ()),
        ({"temperature_millicelsius": 71_000}, ("hot",)),
        ({"throttled_bits": 0x4}, ("throttled",)),
        ({"throttled_bits": 0x1}, ("under_voltage",)),
        # what happened since boot is over
        ({"throttled_bits": 0x50000}, ()),
        # one of three spare cores, and three of them
        ({"cpu_busy_ns": SECOND_NS}, ()),
        ({"cpu_busy_ns": 3 * SECOND_NS}, ("contention",)),
    ],
)
def test_what_speaks_against_starting(after: dict[str, Any], reasons: tuple[str, ...]) -> None:
    before = result_pb2.Snapshot(monotonic_ns=0, cpu_busy_ns=0, process_cpu_ns=0)
    later = result_pb2.Snapshot(**{"monotonic_ns": SECOND_NS, "process_cpu_ns": 0, **after})
    assert unsettled_because(before, later, MACHINE) == reasons


class Clock:
    """Time that passes only in sleep, and a board whose temperature falls by a degree a probe."""

    def __init__(self, board: Path, temperature_millicelsius: int) -> None:
        self.now_ns = 0
        self._zone = board / "sys/class/thermal/thermal_zone0"
        self._zone.mkdir(parents=True)
        (self._zone / "type").write_text("cpu-thermal\n")
        self._temperature = temperature_millicelsius
        self.sleep(0)

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * SECOND_NS)
        self._temperature -= 1000
        (self._zone / "temp").write_text(f"{self._temperature}\n")


def test_waits_until_the_board_has_cooled_down(tmp_path: Path) -> None:
    clock = Clock(tmp_path, 74_000)
    settled = settle(BoardRoot(tmp_path), MACHINE, 60 * SECOND_NS, clock.sleep, lambda: clock.now_ns)
    assert settled.unsettled == ()
    assert settled.waited_ns == 2 * SECOND_NS


def test_the_wait_is_bounded_and_says_why_it_was_in_vain(tmp_path: Path) -> None:
    clock = Clock(tmp_path, 200_000)
    settled = settle(BoardRoot(tmp_path), MACHINE, 3 * SECOND_NS, clock.sleep, lambda: clock.now_ns)
    assert settled.unsettled == ("hot",)
    assert settled.waited_ns == 3 * SECOND_NS


def test_a_timeout_of_zero_starts_at_once(tmp_path: Path) -> None:
    clock = Clock(tmp_path, 200_000)
    settled = settle(BoardRoot(tmp_path), MACHINE, 0, clock.sleep, lambda: clock.now_ns)
    assert (settled.unsettled, settled.waited_ns) == ((), 0)


@pytest.mark.parametrize(
    ("zones", "reasons"),
    [
        ({"tj-thermal": 84_999}, ()),
        ({"tj-thermal": 85_000}, ("hot",)),
        # a zone that slows nothing down
        ({"soc-thermal": 94_000}, ()),
    ],
)
def test_ten_degrees_below_where_a_zone_slows_the_board_down_it_is_hot(
    zones: dict[str, int], reasons: tuple[str, ...]
) -> None:
    now = result_pb2.Snapshot(monotonic_ns=SECOND_NS, zones_millicelsius=zones)
    assert unsettled_because(result_pb2.Snapshot(), now, TRIPS) == reasons
