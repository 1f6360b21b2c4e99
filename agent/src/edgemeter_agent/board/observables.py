"""What can be measured on this board and what not, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgemeter_agent.board import (
    accelerator,
    boost,
    identity,
    power_mode,
    processor,
    supply,
    swap,
    thermal,
    throttling,
)
from edgemeter_agent.board.governor import settable_because
from edgemeter_agent.board.root import BoardRoot, Reading
from edgemeter_agent.meters import Meter, Unusable, registry
from edgemeter_protos.v1 import device_pb2

NO_METER = "no meter on this board"


def observables(
    board: BoardRoot, meters: Sequence[Meter | Unusable] | None = None
) -> list[device_pb2.Observable]:
    """One for each quantity, in a fixed order. Reads every sensor once.

    `meters` as `registry.find` gave them; without, those of the board are looked for.
    """
    delay, pressure, times = (
        processor.run_delay_ns(board),
        processor.pressure_some_us(board),
        processor.times(board),
    )
    return [
        _observable("latency", Reading(value=True, detail="CLOCK_MONOTONIC")),
        _observable("memory", Reading(value=True, detail="peak of the variant's process (VmHWM)")),
        _observable("energy", _energy(registry.find(board) if meters is None else meters)),
        _observable("temperature", thermal.temperature_millicelsius(board)),
        _observable("frequency", processor.frequency_hz(board)),
        _observable(
            "throttling", _first(throttling.throttled_bits(board), throttling.throttle_events(board))
        ),
        _observable("contention", _all_of(delay, pressure, times)),
        _observable("steal", times),
        _observable("governor", _governor(board)),
        *_where_it_applies(board),
    ]


def _where_it_applies(board: BoardRoot) -> list[device_pb2.Observable]:
    """What only some boards have; on the others it is not missing."""
    found = []
    for name, reading in (("boost", boost.boost(board)), ("swap", swap.used_bytes(board))):
        if reading.value is not None:
            found.append(_observable(name, reading))
    if identity.is_jetson(board):
        found.append(_observable("power mode", power_mode.asked_power_mode(board)))
    if accelerator.is_here(board):
        found.append(_observable("accelerator users", accelerator.users(board)))
    supplied = supply.max_ma(board)
    if supplied.value is not None:
        found.append(
            _observable("supply", Reading(value=True, detail=f"{supplied.value} mA, {supplied.detail}"))
        )
    return found


def unreadable(board: BoardRoot) -> list[device_pb2.Observable]:
    """Of the conditions of a measurement, those that this board does not show."""
    return [seen for seen in observables(board, ()) if not seen.available and seen.name != "energy"]


def _energy(meters: Sequence[Meter | Unusable]) -> Reading[bool]:
    meter = registry.choose(meters, "")
    if meter is None:
        return Reading(value=None, detail=registry.why_none(meters) or NO_METER)
    said = meter.description
    return Reading(value=True, detail=f"meter {said.name} ({said.coverage}): {said.detail}")


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
