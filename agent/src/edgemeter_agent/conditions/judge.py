"""Whether a block can be believed: a pure function of what was seen around it.

Contention is others having taken processor time that the block would have used, not others having used the
processor: on a board with free cores a light neighbour costs nothing. The signs, best first:

1. The scheduler's own account of how long the block's threads were ready and had to wait (`run_delay_ns`). It
   misses nothing and blames nobody else, so where it can be read it decides alone on waiting.
2. Where it can't, pressure stall information: the time in which any task waited, which may have been others
   waiting for each other.
3. Where neither can, the rate of involuntary switches: the kernel took the processor away.

Beside waiting, others that keep more than half of the spare cores busy: they share caches, memory, the clock
budget and, with two threads a core, the core itself, none of which shows as waiting.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgemeter_protos.v1 import result_pb2

CONTENTION = "contention"
STEAL = "steal"
FREQUENCY_CHANGED = "frequency_changed"
THROTTLED = "throttled"
UNDER_VOLTAGE = "under_voltage"

MAX_WAITING_SHARE = 0.05
"""Of the block's duration, a thread. A time slice is about 3 ms: a single one in 60 ms shifts p90 and moves a
mean by 5 %, and a median hardly at all."""
MAX_PRESSURE_SHARE = 0.10
"""Of the block's duration; wider than the former, since it counts all tasks."""
MAX_SWITCHES_PER_S = 50.0
"""A thread; one every 20 ms. An idle Linux preempts a busy thread a few times a second, a rival on the same
core at every slice: 100 to 300 times."""
MAX_SPARE_SHARE = 0.50
"""Of the cores that the block does not use."""
MAX_OTHERS_SHARE = 0.05
"""Of all cores, where the block uses them all."""
MAX_STEAL_SHARE = 0.05
"""Of the time that this machine's processors wanted to run."""
MAX_FREQUENCY_CHANGE = 0.10
"""Of the higher one. A throttled board loses 20 % and more at a step; turbo clocks waver by a few percent."""

PI_UNDER_VOLTAGE_NOW = 1 << 0
PI_SLOWED_NOW = 1 << 1 | 1 << 2 | 1 << 3
PI_UNDER_VOLTAGE_SINCE_BOOT = 1 << 16
PI_SLOWED_SINCE_BOOT = 1 << 17 | 1 << 18 | 1 << 19


@dataclass(frozen=True, kw_only=True)
class BlockShares:
    """How others weighed on a block. None where it could not be read."""

    others: float | None
    """Of all processors' time."""
    steal: float | None
    """Of the time that the processors wanted to run."""
    pressure: float | None
    """Of the block's duration."""
    run_delay: float | None
    """Of the block's duration, summed over its threads."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    cpu_count: int
    threads: int
    """That the measured process computes with."""
    tick_ns: int
    """Resolution of cpu_busy_ns and cpu_steal_ns, on each processor."""


def shares(before: result_pb2.Snapshot, after: result_pb2.Snapshot, machine: Machine) -> BlockShares:
    """Differences of the counters over the time between the snapshots."""
    wall_ns = max(after.monotonic_ns - before.monotonic_ns, 1)
    busy, steal = _grown(before, after, "cpu_busy_ns"), _grown(before, after, "cpu_steal_ns")
    own, pressure_us = _grown(before, after, "process_cpu_ns"), _grown(before, after, "psi_cpu_some_us")
    delay = _grown(before, after, "run_delay_ns")
    others = None if busy is None or own is None else max(busy - own, 0) / (wall_ns * machine.cpu_count)
    wanted = None if busy is None or steal is None else max(busy + steal, wall_ns)
    return BlockShares(
        others=others,
        steal=None if steal is None or wanted is None else steal / wanted,
        pressure=None if pressure_us is None else pressure_us * 1000 / wall_ns,
        run_delay=None if delay is None else delay / wall_ns,
    )


def judge_block(before: result_pb2.Snapshot, after: result_pb2.Snapshot, machine: Machine) -> list[str]:
    """Reason codes for which a block is void, in a fixed order; empty for a block to keep.

    What could not be read voids nothing.
    """
    found = {
        THROTTLED: _throttled(before, after),
        UNDER_VOLTAGE: _under_voltage(before, after),
        FREQUENCY_CHANGED: _frequency_changed(before, after),
        CONTENTION: _contended(before, after, machine),
        STEAL: _stolen(before, after, machine),
    }
    return [code for code, is_so in found.items() if is_so]


def _throttled(before: result_pb2.Snapshot, after: result_pb2.Snapshot) -> bool:
    events = _grown(before, after, "throttle_events")
    return bool(events) or _pi_says(before, after, PI_SLOWED_NOW, PI_SLOWED_SINCE_BOOT)


def _under_voltage(before: result_pb2.Snapshot, after: result_pb2.Snapshot) -> bool:
    return _pi_says(before, after, PI_UNDER_VOLTAGE_NOW, PI_UNDER_VOLTAGE_SINCE_BOOT)


def _pi_says(before: result_pb2.Snapshot, after: result_pb2.Snapshot, now: int, sticky: int) -> bool:
    """True now at either end, or a sticky bit that was set in between; one from before says nothing of us."""
    if not after.HasField("throttled_bits"):
        return False
    at_an_end = (before.throttled_bits | after.throttled_bits) & now
    newly = after.throttled_bits & ~before.throttled_bits & sticky if before.HasField("throttled_bits") else 0
    return bool(at_an_end or newly)


def _frequency_changed(before: result_pb2.Snapshot, after: result_pb2.Snapshot) -> bool:
    if not before.frequency_hz or not after.frequency_hz:
        return False
    low, high = sorted((before.frequency_hz, after.frequency_hz))
    return (high - low) / high > MAX_FREQUENCY_CHANGE


def _contended(before: result_pb2.Snapshot, after: result_pb2.Snapshot, machine: Machine) -> bool:
    seen = shares(before, after, machine)
    wall_ns = max(after.monotonic_ns - before.monotonic_ns, 1)
    if seen.others is not None and seen.others * machine.cpu_count > allowed_others(machine, wall_ns):
        return True
    threads = max(machine.threads, 1)
    if seen.run_delay is not None:
        return seen.run_delay / threads > MAX_WAITING_SHARE
    if seen.pressure is not None:
        return seen.pressure > MAX_PRESSURE_SHARE
    switches = _grown(before, after, "involuntary_switches")
    return switches is not None and switches / threads / (wall_ns / 1e9) > MAX_SWITCHES_PER_S


def allowed_others(machine: Machine, wall_ns: int) -> float:
    """Cores that others may keep busy beside a block. One tick on each processor is the counters' own
    error."""
    spare = max(machine.cpu_count - machine.threads, 0)
    error = machine.cpu_count * machine.tick_ns / wall_ns
    return max(MAX_SPARE_SHARE * spare, MAX_OTHERS_SHARE * machine.cpu_count) + error


def _stolen(before: result_pb2.Snapshot, after: result_pb2.Snapshot, machine: Machine) -> bool:
    stolen = _grown(before, after, "cpu_steal_ns")
    share = shares(before, after, machine).steal
    return stolen is not None and stolen > machine.tick_ns and share is not None and share > MAX_STEAL_SHARE


def _grown(before: result_pb2.Snapshot, after: result_pb2.Snapshot, field: str) -> int | None:
    if not before.HasField(field) or not after.HasField(field):  # type: ignore[arg-type]
        return None
    return max(int(getattr(after, field)) - int(getattr(before, field)), 0)
