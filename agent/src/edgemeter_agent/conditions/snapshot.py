"""Reading everything that can disturb a measurement, at one moment.

A snapshot is taken before and after each block, so it reads files only: no process is started but for a board
whose firmware can't be asked otherwise. What changes once a day, or takes milliseconds, is of `setting`.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Collection
from typing import Any

from edgemeter_agent.board import accelerator, boost, power_mode, processor, swap, thermal, throttling
from edgemeter_agent.board.clock import realtime_offset_ns
from edgemeter_agent.board.root import BoardRoot
from edgemeter_protos.v1 import result_pb2


def take_before(board: BoardRoot, cpus: Collection[int] | None = None) -> result_pb2.Snapshot:
    """Counters of processor time last, so that what reading the rest costs is not held against the block.

    `cpus` are the processors that the measured process may use, empty for all, None for the caller's own.
    Give it a `SteadyRoot`: looking for the sensors takes longer than reading them.
    """
    return result_pb2.Snapshot(**_states(board), **_counters(board, cpus))


def take_after(
    board: BoardRoot, cpus: Collection[int] | None = None, uses_accelerator: bool = False
) -> result_pb2.Snapshot:
    """The mirror image of `take_before`: counters first. With `uses_accelerator` it also counts who else
    holds it, which takes milliseconds; before a block that would let it cool down and slow down."""
    snapshot = result_pb2.Snapshot(**_counters(board, cpus), **_states(board))
    users = accelerator.users(board).value if uses_accelerator else None
    if users is not None:
        snapshot.accelerator_users = users
    return snapshot


def _states(board: BoardRoot) -> dict[str, Any]:
    zones, clocks = thermal.zones_millicelsius(board).value, processor.clocks_hz(board).value
    readings: dict[str, Any] = {
        "throttled_bits": throttling.throttled_bits(board).value,
        "throttle_events": throttling.throttle_events(board).value,
        "current_events": throttling.current_events(board).value,
        "zones_millicelsius": zones,
        "temperature_millicelsius": zones[thermal.hottest_zone(zones)] if zones else None,
        "load_average_1m": processor.load_average(board).value,
        "governor": processor.governor(board).value,
        "boost": boost.boost(board).value,
        "power_mode": power_mode.power_mode(board).value,
        "accelerator_frequency_hz": accelerator.frequency_hz(board).value,
        "swap_used_bytes": swap.used_bytes(board).value,
        "swapped_pages": swap.swapped_pages(board).value,
        "clocks_hz": clocks,
        "frequency_hz": processor.own_clock(board, clocks) if clocks else None,
    }
    return {name: value for name, value in readings.items() if value is not None}


def _counters(board: BoardRoot, cpus: Collection[int] | None) -> dict[str, Any]:
    times = processor.times(board, processor.own_cpus() if cpus is None else cpus).value
    delays = processor.run_delays_ns(board).value
    readings: dict[str, Any] = {
        "psi_cpu_some_us": processor.pressure_some_us(board).value,
        "thread_run_delay_ns": delays,
        "run_delay_ns": None if delays is None else sum(delays.values()),
        "cpu_busy_ns": times.busy_ns if times else None,
        "cpu_steal_ns": times.steal_ns if times else None,
        "involuntary_switches": resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw,
        "realtime_offset_ns": realtime_offset_ns(),
        "process_cpu_ns": time.process_time_ns(),
        # Beside the one before: their differences are compared.
        "monotonic_ns": time.monotonic_ns(),
    }
    return {name: value for name, value in readings.items() if value is not None}
