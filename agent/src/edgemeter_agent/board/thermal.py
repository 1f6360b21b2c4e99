"""Temperatures: of the processor, of every zone, and where zones begin to slow the board down."""

from __future__ import annotations

from collections.abc import Mapping

from edgemeter_agent.board.identity import is_raspberry_pi
from edgemeter_agent.board.root import BoardRoot, Reading

ZONES = "sys/class/thermal/thermal_zone*"

NOT_TEMPERATURES = ("pmic-die", "thermal-fan-est")
"""Zones of Jetson Nano that hold a fixed 100 degrees, and an estimate for the fan."""

SLOWING_TRIPS = ("passive", "hot", "critical")
"""Trip points at which a zone slows the board down, or stops it; "active" only starts a fan
(Documentation/driver-api/thermal/sysfs-api.rst)."""

LOWEST_TRIP_MILLICELSIUS = 60_000
"""No processor is slowed down below (a Raspberry Pi 3B+ begins there). A trip point of 0, or less, is
switched off, and PCs have some that nobody filled in."""

PI_SLOWS_AT_MILLICELSIUS = 80_000
"""A Raspberry Pi's firmware slows the processor down from here on, and has no trip point that says so
(raspberrypi.com, "Frequency management and thermal control")."""


def zones_millicelsius(board: BoardRoot) -> Reading[dict[str, int]]:
    """Each zone that can be read, by its type in lower case; of several with one type the hottest.

    A zone that can't be read is left out: the zones of a Jetson's gated units answer EAGAIN.
    """
    zones = board.glob(ZONES)
    if not zones:
        return Reading(
            value=None, detail="no /sys/class/thermal/thermal_zone*: this board shows no temperature"
        )
    readable: dict[str, int] = {}
    for zone in zones:
        kind = _kind(board, zone)
        value = board.number_or_none(f"{zone}/temp")
        if value is not None and kind not in NOT_TEMPERATURES:
            readable[kind] = max(value, readable.get(kind, value))
    if not readable:
        return Reading(value=None, detail=f"none of {len(zones)} thermal zones is readable")
    return Reading(value=readable, detail=f"thermal zones {', '.join(sorted(readable))}")


def temperature_millicelsius(board: BoardRoot) -> Reading[int]:
    """The hottest of the processor's own zones; of all zones where none is named after the processor."""
    zones = zones_millicelsius(board)
    if zones.value is None:
        return Reading(value=None, detail=zones.detail)
    hottest = hottest_zone(zones.value)
    return Reading(value=zones.value[hottest], detail=f"thermal zone {hottest}")


def hottest_zone(zones: Mapping[str, int]) -> str:
    """Pure: the zone that `temperature_millicelsius` tells of. There must be one."""
    of_processor = [kind for kind in zones if "cpu" in kind or kind == "x86_pkg_temp"]
    return max(of_processor or zones, key=lambda kind: zones[kind])


def trips_millicelsius(board: BoardRoot) -> dict[str, int]:
    """Where each zone begins to slow the board down: its lowest passive, hot or critical trip point. Zones
    without one are left out. Trip points never change while a board runs."""
    lowest: dict[str, int] = {}
    for zone in board.glob(ZONES):
        kind = _kind(board, zone)
        trips = [
            board.number_or_none(point.removesuffix("type") + "temp")
            for point in board.glob(f"{zone}/trip_point_*_type")
            if board.text_or_none(point) in SLOWING_TRIPS
        ]
        if kind.startswith("cpu") and is_raspberry_pi(board):
            trips.append(PI_SLOWS_AT_MILLICELSIUS)
        known = [trip for trip in trips if trip is not None and trip >= LOWEST_TRIP_MILLICELSIUS]
        if known and kind not in NOT_TEMPERATURES:
            lowest[kind] = min([*known, lowest.get(kind, known[0])])
    return lowest


def _kind(board: BoardRoot, zone: str) -> str:
    return (board.text_or_none(f"{zone}/type") or zone.rpartition("/")[2]).lower()
