"""RAPL: the energy that a PC's processor counts (Intel, and AMD through the same files).

The package is the processor with its caches and graphics: neither memory nor the rest of the board. Files:
the kernel's power/powercap/powercap.rst.
"""

from __future__ import annotations

import re

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import PACKAGE, Description, Meter, Rail, Unusable
from edgemeter_agent.meters.attribute import Attribute, forbidden
from edgemeter_agent.meters.counter import Unwrapped, counted_reader
from edgemeter_agent.meters.polled import Polled
from edgemeter_agent.meters.rails import WITHOUT_DATASHEET, rectangular

KIND = "rapl"
RATE_HZ = 50.0
UNIT_UJ = 61.04
"""2**-14 J, the usual unit of the counter (MSR_RAPL_POWER_UNIT)."""
RESOLUTION_MW = UNIT_UJ * RATE_HZ / 1000
"""One unit more or less between two readings."""
GAIN_ERROR = rectangular(WITHOUT_DATASHEET)

_PACKAGE_ZONE = re.compile(r"intel-rapl:\d+")
"""Not intel-rapl:0:0, which is part of it, and not intel-rapl-mmio:0, which is the same package again."""


def find(board: BoardRoot) -> list[Meter | Unusable]:
    """One meter over all packages, or nothing."""
    zones = [
        path
        for path in board.glob("sys/class/powercap/intel-rapl:*")
        if _PACKAGE_ZONE.fullmatch(path.rpartition("/")[2])
        and (board.text_or_none(f"{path}/name") or "").startswith("package")
    ]
    if not zones:
        return []
    for zone in zones:
        if forbidden(board, f"{zone}/energy_uj"):
            return [
                Unusable(name=KIND, reason=f"/{zone}/energy_uj may be read by root only: {_remedy(zone)}")
            ]
    return [_meter(board, zones)]


def _remedy(zone: str) -> str:
    return (
        f'put the line "mode {zone.removeprefix("sys/")}/energy_uj = 0444" into /etc/sysfs.conf '
        "(package sysfsutils), or let a rule of udev set it, or run the agent as root"
    )


def _meter(board: BoardRoot, zones: list[str]) -> Meter:
    description = Description(
        name=KIND,
        kind=KIND,
        coverage=PACKAGE,
        rails=tuple(Rail(name=board.text(f"{zone}/name"), in_total=True) for zone in zones),
        rate_hz=RATE_HZ,
        resolution_mw=RESOLUTION_MW,
        gain_error=GAIN_ERROR,
        offset_error_mw=0,
        lag_s=0,
        has_counter=True,
        detail=f"/{', /'.join(zones)}: energy_uj",
    )
    where, remedy = f"/{zones[0]}/energy_uj", _remedy(zones[0])
    return Polled(description, lambda: counted_reader(_counters(board, zones), RATE_HZ, where, remedy))


def _counters(board: BoardRoot, zones: list[str]) -> list[Unwrapped]:
    return [
        Unwrapped(
            read_uj=Attribute(board, f"{zone}/energy_uj").read,
            range_uj=board.number_or_none(f"{zone}/max_energy_range_uj") or 0,
        )
        for zone in zones
    ]
