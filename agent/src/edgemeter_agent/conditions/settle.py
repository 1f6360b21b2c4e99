"""Waiting, for a bounded time, until the board is quiet and cool."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.conditions.judge import (
    CONTENTION,
    PI_SLOWED_NOW,
    PI_UNDER_VOLTAGE_NOW,
    THROTTLED,
    UNDER_VOLTAGE,
    Machine,
    allowed_others,
    shares,
)
from edgemeter_agent.conditions.snapshot import take_after, take_before
from edgemeter_agent.verdict import HOT
from edgemeter_protos.v1 import result_pb2

COOL_MILLICELSIUS = 70_000
"""Raspberry Pi's firmware slows down from 80 degrees; ten of them are for the measurement itself."""
ROOM_MILLICELSIUS = 10_000
PROBE_NS = 500_000_000


@dataclass(frozen=True, kw_only=True)
class Settled:
    waited_ns: int
    unsettled: tuple[str, ...]
    """Why the board was still not settled when the time was up; empty where it was."""


def unsettled_because(
    before: result_pb2.Snapshot, after: result_pb2.Snapshot, machine: Machine
) -> tuple[str, ...]:
    """Pure: what speaks against starting now. What could not be read does not."""
    reasons = []
    if after.throttled_bits & PI_SLOWED_NOW:
        reasons.append(THROTTLED)
    if after.throttled_bits & PI_UNDER_VOLTAGE_NOW:
        reasons.append(UNDER_VOLTAGE)
    if _is_hot(after, machine):
        reasons.append(HOT)
    others = shares(before, after, machine).others
    wall_ns = max(after.monotonic_ns - before.monotonic_ns, 1)
    if others is not None and others * machine.usable_cpus > allowed_others(machine, wall_ns):
        reasons.append(CONTENTION)
    return tuple(reasons)


def _is_hot(now: result_pb2.Snapshot, machine: Machine) -> bool:
    """By the processor's temperature, or ten degrees below where a zone of the board slows it down."""
    if now.temperature_millicelsius >= COOL_MILLICELSIUS:
        return True
    trips = machine.trips_millicelsius
    return any(
        hot >= trips[zone] - ROOM_MILLICELSIUS
        for zone, hot in now.zones_millicelsius.items()
        if zone in trips
    )


def settle(
    board: BoardRoot,
    machine: Machine,
    timeout_ns: int,
    sleep: Callable[[float], None] = time.sleep,
    clock_ns: Callable[[], int] = time.monotonic_ns,
) -> Settled:
    """Probes the board for half a second at a time until it is settled or `timeout_ns` has passed.

    A timeout of 0 starts at once, and nothing is said of how settled the board was.
    """
    start = clock_ns()
    reasons: tuple[str, ...] = ()
    while clock_ns() - start < timeout_ns:
        before = take_before(board, machine.cpus)
        sleep(min(PROBE_NS, timeout_ns) / 1e9)
        reasons = unsettled_because(before, take_after(board, machine.cpus), machine)
        if not reasons:
            break
    return Settled(waited_ns=clock_ns() - start, unsettled=reasons)
