"""What can be measured on this board and what not, and why."""

from __future__ import annotations

from typing import Any

from edgemeter_agent.board import processor, thermal, throttling
from edgemeter_agent.board.governor import settable_because
from edgemeter_agent.board.root import BoardRoot, Reading
from edgemeter_protos.v1 import device_pb2

NO_METER = "no meter on this board"


def observables(board: BoardRoot) -> list[device_pb2.Observable]:
    """One for each quantity, in a fixed order. Reads every sensor once."""
    delay, pressure, times = (
        processor.run_delay_ns(board),
        processor.pressure_some_us(board),
        processor.times(board),
    )
    return [
        _observable("latency", Reading(value=True, detail="CLOCK_MONOTONIC")),
        _observable("memory", Reading(value=True, detail="peak of the variant's process (VmHWM)")),
        _observable("energy", Reading[bool](value=None, detail=NO_METER)),
        _observable("temperature", thermal.temperature_millicelsius(board)),
        _observable("frequency", processor.frequency_hz(board)),
        _observable(
            "throttling", _first(throttling.throttled_bits(board), throttling.throttle_events(board))
        ),
        _observable("contention", _all_of(delay, pressure, times)),
        _observable("steal", times),
        _observable("governor", _governor(board)),
    ]


def unreadable(board: BoardRoot) -> list[device_pb2.Observable]:
    """Of the conditions of a measurement, those that this board does not show."""
    return [seen for seen in observables(board) if not seen.available and seen.name != "energy"]


def _observable(name: str, reading: Reading[Any]) -> device_pb2.Observable:
    return device_pb2.Observable(name=name, available=reading.value is not None, detail=reading.detail)


def _first(*readings: Reading[Any]) -> Reading[Any]:
    for reading in readings:
        if reading.value is not None:
            return reading
    return Reading(value=None, detail="; ".join(reading.detail for reading in readings))


def _all_of(*readings: Reading[Any]) -> Reading[Any]:
    """Available where any is; the detail names what is missing beside what is there."""
    there = [reading for reading in readings if reading.value is not None]
    missing = [f"not {reading.detail}" for reading in readings if reading.value is None]
    return Reading(
        value=True if there else None, detail="; ".join([reading.detail for reading in there] + missing)
    )


def _governor(board: BoardRoot) -> Reading[Any]:
    now = processor.governor(board)
    if now.value is None:
        return now
    why_not = settable_because(board)
    said = "performance can be set while measuring" if why_not is None else f"can't be set: {why_not}"
    return Reading(value=now.value, detail=f"{now.value}; {said}")
