"""Reading everything that can disturb a measurement, at one moment."""

from __future__ import annotations

import resource
import time
from typing import Any

from edgemeter_agent.board import processor, thermal, throttling
from edgemeter_agent.board.root import BoardRoot
from edgemeter_protos.v1 import result_pb2


def take_before(board: BoardRoot) -> result_pb2.Snapshot:
    """Counters of processor time last, so that what reading the rest costs is not held against the block."""
    return result_pb2.Snapshot(**_states(board), **_counters(board))


def take_after(board: BoardRoot) -> result_pb2.Snapshot:
    """The mirror image of `take_before`: counters first."""
    counters = _counters(board)
    return result_pb2.Snapshot(**counters, **_states(board))


def _states(board: BoardRoot) -> dict[str, Any]:
    readings: dict[str, Any] = {
        "throttled_bits": throttling.throttled_bits(board).value,
        "throttle_events": throttling.throttle_events(board).value,
        "temperature_millicelsius": thermal.temperature_millicelsius(board).value,
        "load_average_1m": processor.load_average(board).value,
        "governor": processor.governor(board).value,
        "frequency_hz": processor.frequency_hz(board).value,
    }
    return {name: value for name, value in readings.items() if value is not None}


def _counters(board: BoardRoot) -> dict[str, Any]:
    times = processor.times(board).value
    readings: dict[str, Any] = {
        "psi_cpu_some_us": processor.pressure_some_us(board).value,
        "run_delay_ns": processor.run_delay_ns(board).value,
        "cpu_busy_ns": times.busy_ns if times else None,
        "cpu_steal_ns": times.steal_ns if times else None,
        "process_cpu_ns": time.process_time_ns(),
        "involuntary_switches": resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw,
        "monotonic_ns": time.monotonic_ns(),
    }
    return {name: value for name, value in readings.items() if value is not None}
