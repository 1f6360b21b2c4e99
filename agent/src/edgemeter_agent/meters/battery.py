"""The battery of a laptop: what the whole board takes, while nothing else feeds it.

Files: the kernel's ABI/testing/sysfs-class-power; uW, uV and uA. Some drivers sign what flows out.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import BOARD, Description, Meter, Rail, Reading, Unusable
from edgemeter_agent.meters.attribute import Attribute, exists, fault_of
from edgemeter_agent.meters.polled import Polled
from edgemeter_agent.meters.rails import WITHOUT_DATASHEET, rectangular

KIND = "battery"
RATE_HZ = 1.0
LAG_S = 10.0
"""Fuel gauges renew their value every 1 to 30 s, and many average over that time."""
RESOLUTION_MW = 10.0
GAIN_ERROR = rectangular(WITHOUT_DATASHEET)
OFFSET_ERROR_MW = rectangular(50.0)

DISCHARGING = "Discharging"
REMEDY = "run the agent as root"


def find(board: BoardRoot) -> list[Meter | Unusable]:
    """One meter over all batteries that feed the board, or nothing."""
    batteries = [path for path in board.glob("sys/class/power_supply/*") if _feeds_the_board(board, path)]
    if not batteries:
        return []
    names = [path.rpartition("/")[2] for path in batteries]
    states = {name: _status(board, path) for name, path in zip(names, batteries, strict=True)}
    if DISCHARGING not in states.values():
        said = ", ".join(f"{name} is {state.lower()}" for name, state in states.items())
        return [
            Unusable(name=KIND, reason=f"{said}: it tells the board's power only while it discharges; unplug")
        ]
    readers = {name: _power(board, path) for name, path in zip(names, batteries, strict=True)}
    mute = [name for name, read_mw in readers.items() if read_mw is None]
    if mute:
        return [Unusable(name=KIND, reason=f"{', '.join(mute)} shows neither power_now nor current_now")]
    description = Description(
        name=KIND,
        kind=KIND,
        coverage=BOARD,
        rails=tuple(Rail(name=name, in_total=True) for name in names),
        rate_hz=RATE_HZ,
        resolution_mw=RESOLUTION_MW,
        gain_error=GAIN_ERROR,
        offset_error_mw=OFFSET_ERROR_MW,
        lag_s=LAG_S,
        has_counter=False,
        detail=f"/{', /'.join(batteries)}, while discharging",
    )
    sources = [(path, read_mw) for path, read_mw in zip(batteries, readers.values(), strict=True) if read_mw]
    return [Polled(description, lambda: lambda: _read(board, sources))]


def _feeds_the_board(board: BoardRoot, path: str) -> bool:
    """A mouse's battery has the scope "Device"."""
    return board.text_or_none(f"{path}/type") == "Battery" and board.text_or_none(f"{path}/scope") != "Device"


def _status(board: BoardRoot, path: str) -> str:
    return board.text_or_none(f"{path}/status") or "Unknown"


def _power(board: BoardRoot, path: str) -> Callable[[], float] | None:
    if exists(board, f"{path}/power_now"):
        power_uw = Attribute(board, f"{path}/power_now")
        return lambda: abs(power_uw.read()) / 1e3
    if exists(board, f"{path}/current_now") and exists(board, f"{path}/voltage_now"):
        voltage_uv = Attribute(board, f"{path}/voltage_now")
        current_ua = Attribute(board, f"{path}/current_now")
        return lambda: voltage_uv.read() * abs(current_ua.read()) / 1e9
    return None


def _read(board: BoardRoot, sources: list[tuple[str, Callable[[], float]]]) -> Reading:
    """A battery beside one that discharges rests, and gives nothing; once any is charged, none says
    anything."""
    began_ns = time.monotonic_ns()
    powers: list[float] = []
    fault = ""
    try:
        states = [board.text(f"{path}/status") for path, _ in sources]
        powers = [
            read_mw() if state == DISCHARGING else 0.0
            for (_, read_mw), state in zip(sources, states, strict=True)
        ]
        if DISCHARGING not in states or "Charging" in states:
            fault = "not_discharging"
    except (OSError, ValueError) as error:
        fault = fault_of(error, f"/{sources[0][0]}", REMEDY)
    stamp_ns = (began_ns + time.monotonic_ns()) // 2
    if fault:
        return Reading(monotonic_ns=stamp_ns, total_mw=None, fault=fault)
    return Reading(monotonic_ns=stamp_ns, total_mw=sum(powers), rails_mw=tuple(powers))
