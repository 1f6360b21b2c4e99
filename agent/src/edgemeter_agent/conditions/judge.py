"""Whether a block can be believed: a pure function of what was seen around it.

Contention is others having taken processor time that the block would have used, not others having used the
processor: on a board with free cores a light neighbour costs nothing. The signs, best first:

1. The scheduler's own account of how long each of the block's threads was ready and had to wait
   (`thread_run_delay_ns`; their sum, shared out evenly, where there is only that). It misses nothing and
   blames nobody else, so where it can be read it decides alone on waiting. The thread that waited longest
   counts: in a model that computes with several, all wait for it.
2. Where it can't, pressure stall information: the time in which any task waited, which may have been others
   waiting for each other.
3. Where neither can, the rate of involuntary switches: the kernel took the processor away.

Beside waiting, others that keep more than half of the spare cores busy: they share caches, memory, the clock
budget and, with two threads a core, the core itself, none of which shows as waiting. Where the plan holds the
process on some processors, only those are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgemeter_agent.conditions.machine import Machine
from edgemeter_protos.v1 import result_pb2

__all__ = ["Machine", "judge_block", "shares"]

ACCELERATOR_SHARED = "accelerator_shared"
CONTENTION = "contention"
FREQUENCY_CHANGED = "frequency_changed"
GOVERNOR_CHANGED = "governor_changed"
POWER_MODE_CHANGED = "power_mode_changed"
STALLED = "stalled"
STEAL = "steal"
SWAPPED = "swapped"
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
MAX_STALLED_SHARE = 0.05
"""Of the block's duration, as for waiting: time in which a process that had work to do neither ran nor waited
for a processor. It was stopped, or waited for a disk."""
MAX_HANDOVER_SHARE = 0.25
"""Likewise, with several threads, which sleep while they hand work to each other. Their main thread works
too."""
MAX_SWAPPED_PAGES_PER_S = 75.0
"""A card of class A1 reads 1,500 pages a second (SD Physical Layer Specification 5.1): 75 take it 5 % of
one."""

PI_UNDER_VOLTAGE_NOW = 1 << 0
PI_SLOWED_NOW = 1 << 1 | 1 << 2 | 1 << 3
PI_UNDER_VOLTAGE_SINCE_BOOT = 1 << 16
PI_SLOWED_SINCE_BOOT = 1 << 17 | 1 << 18 | 1 << 19


@dataclass(frozen=True, kw_only=True)
class BlockShares:
    """How others weighed on a block. None where it could not be read."""

    others: float | None
    """Of the time of all processors that the block may use."""
    steal: float | None
    """Of the time that the processors wanted to run."""
    pressure: float | None
    """Of the block's duration."""
    run_delay: float | None
    """Of the block's duration, summed over its threads."""
    longest_delay: float | None
    """Likewise, of the thread that waited longest."""
    stalled: float | None
    """Of the block's duration, for one thread. Several that compute hide it: it is what is missing to one."""


def shares(before: result_pb2.Snapshot, after: result_pb2.Snapshot, machine: Machine) -> BlockShares:
    """Differences of the counters over the time between the snapshots."""
    wall_ns = max(after.monotonic_ns - before.monotonic_ns, 1)
    busy, steal = grown(before, after, "cpu_busy_ns"), grown(before, after, "cpu_steal_ns")
    own, pressure_us = grown(before, after, "process_cpu_ns"), grown(before, after, "psi_cpu_some_us")
    delay = grown(before, after, "run_delay_ns")
    others = None if busy is None or own is None else max(busy - own, 0) / (wall_ns * machine.usable_cpus)
    wanted = None if busy is None or steal is None else busy + steal
    stalled = None
    if own is not None and delay is not None and steal is not None:
        # What a hypervisor took is neither waiting nor running.
        stalled = max(wall_ns - own - delay - steal, 0) / wall_ns
    return BlockShares(
        others=others,
        steal=None if wanted is None or steal is None else steal / max(wanted, 1),
        pressure=None if pressure_us is None else pressure_us * 1000 / wall_ns,
        run_delay=None if delay is None else delay / wall_ns,
        longest_delay=_longest_delay(before, after, machine, wall_ns),
        stalled=stalled,
    )


def judge_block(before: result_pb2.Snapshot, after: result_pb2.Snapshot, machine: Machine) -> list[str]:
    """Reasons for which the block is void, in a fixed order; empty for a block to keep.

    What could not be read voids nothing.
    """
    found = {
        THROTTLED: _throttled(before, after),
        UNDER_VOLTAGE: _under_voltage(before, after),
        FREQUENCY_CHANGED: _frequency_changed(before, after),
        POWER_MODE_CHANGED: differs(before, after, "power_mode"),
        GOVERNOR_CHANGED: differs(before, after, "governor"),
        CONTENTION: _contended(before, after, machine),
        STEAL: _stolen(before, after, machine),
        STALLED: _stalled(before, after, machine),
        SWAPPED: swapped_pages_per_s(before, after) > MAX_SWAPPED_PAGES_PER_S,
        ACCELERATOR_SHARED: _accelerator_shared(after, machine),
    }
    return [code for code, is_so in found.items() if is_so]


def _throttled(before: result_pb2.Snapshot, after: result_pb2.Snapshot) -> bool:
    events = grown(before, after, "throttle_events")
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
    return far_apart(before.frequency_hz, after.frequency_hz)


def far_apart(one_hz: int, other_hz: int) -> bool:
    """Two clocks, of which 0 is unknown."""
    low, high = sorted((one_hz, other_hz))
    return low > 0 and (high - low) / high > MAX_FREQUENCY_CHANGE


def differs(before: result_pb2.Snapshot, after: result_pb2.Snapshot, field: str) -> bool:
    """A text that was read at both ends and is not the same."""
    return bool(getattr(before, field) and getattr(after, field)) and getattr(before, field) != getattr(
        after, field
    )


def _contended(before: result_pb2.Snapshot, after: result_pb2.Snapshot, machine: Machine) -> bool:
    seen = shares(before, after, machine)
    wall_ns = max(after.monotonic_ns - before.monotonic_ns, 1)
    if seen.others is not None and seen.others * machine.usable_cpus > allowed_others(machine, wall_ns):
        return True
    if seen.longest_delay is not None:
        return seen.longest_delay > MAX_WAITING_SHARE
    if seen.pressure is not None:
        return seen.pressure > MAX_PRESSURE_SHARE
    switches = grown(before, after, "involuntary_switches")
    threads = max(machine.threads, 1)
    return switches is not None and switches / threads / (wall_ns / 1e9) > MAX_SWITCHES_PER_S


def _longest_delay(
    before: result_pb2.Snapshot, after: result_pb2.Snapshot, machine: Machine, wall_ns: int
) -> float | None:
    # A thread that is new has waited since it is there.
    each = [
        delay - before.thread_run_delay_ns.get(thread, 0)
        for thread, delay in after.thread_run_delay_ns.items()
    ]
    if each and before.thread_run_delay_ns:
        return max(*each, 0) / wall_ns
    delay = grown(before, after, "run_delay_ns")
    return None if delay is None else delay / wall_ns / max(machine.threads, 1)


def allowed_others(machine: Machine, wall_ns: int) -> float:
    """Cores that others may keep busy beside a block. One tick on each processor is the counters' own
    error."""
    spare = max(machine.usable_cpus - machine.threads, 0)
    error = machine.usable_cpus * machine.tick_ns / wall_ns
    return max(MAX_SPARE_SHARE * spare, MAX_OTHERS_SHARE * machine.usable_cpus) + error


def _stolen(before: result_pb2.Snapshot, after: result_pb2.Snapshot, machine: Machine) -> bool:
    stolen = grown(before, after, "cpu_steal_ns")
    share = shares(before, after, machine).steal
    return stolen is not None and stolen > machine.tick_ns and share is not None and share > MAX_STEAL_SHARE


def _stalled(before: result_pb2.Snapshot, after: result_pb2.Snapshot, machine: Machine) -> bool:
    stalled = shares(before, after, machine).stalled
    allowed = MAX_STALLED_SHARE if machine.threads == 1 else MAX_HANDOVER_SHARE
    return machine.busy_throughout and stalled is not None and stalled > allowed


def swapped_pages_per_s(before: result_pb2.Snapshot, after: result_pb2.Snapshot) -> float:
    """0 where it could not be read."""
    wall_ns = max(after.monotonic_ns - before.monotonic_ns, 1)
    return (grown(before, after, "swapped_pages") or 0) / (wall_ns / 1e9)


def _accelerator_shared(after: result_pb2.Snapshot, machine: Machine) -> bool:
    """Somebody came who was not there when the job began. Who was is a doubt of the whole job, not of a
    block."""
    if not machine.uses_accelerator or machine.accelerator_users is None:
        return False
    return after.accelerator_users > machine.accelerator_users


def grown(before: result_pb2.Snapshot, after: result_pb2.Snapshot, field: str) -> int | None:
    """By how much a counter has grown; None where it could not be read at both ends."""
    if not before.HasField(field) or not after.HasField(field):  # type: ignore[arg-type]
        return None
    return max(int(getattr(after, field)) - int(getattr(before, field)), 0)
