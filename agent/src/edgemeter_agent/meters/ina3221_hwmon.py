"""Jetson's INA3221 through hwmon: JetPack 5 to 7, and any board with the mainline driver.

There is no file of the power: it is voltage (mV) times current (mA). Files: the kernel's hwmon/ina3221.rst.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import Description, Meter, Reading, Unusable, ina3221
from edgemeter_agent.meters.attribute import Attribute, exists, forbidden
from edgemeter_agent.meters.hwmon_chips import Chip, chips
from edgemeter_agent.meters.jetson_rails import (
    NOT_CONNECTED,
    JetsonModule,
    module_of,
    total_of,
    usual_volt,
)
from edgemeter_agent.meters.polled import Polled
from edgemeter_agent.meters.rails import RailSource, read_rails, root_sum_of_squares

REMEDY = (
    "its files are readable by everyone unless a rule of udev forbids it; run the agent as root to compare"
)


@dataclass(frozen=True, kw_only=True)
class _Channel:
    rail: str
    chip: Chip
    number: int
    shunt_uohm: int
    lag_s: float


def find(board: BoardRoot) -> list[Meter | Unusable]:
    """One meter over all chips, or nothing."""
    channels = [
        channel for chip in chips(board) if chip.name == "ina3221" for channel in _channels(board, chip)
    ]
    if not channels:
        return []
    for channel in channels:
        current = channel.chip.file(f"curr{channel.number}_input")
        if forbidden(board, current):
            return [Unusable(name=ina3221.KIND, reason=f"/{current} may not be read: {REMEDY}")]
    return [_meter(board, channels, module_of(board))]


def _channels(board: BoardRoot, chip: Chip) -> list[_Channel]:
    """Those that are wired and switched on."""
    on = [
        number
        for number in range(1, ina3221.CHANNELS + 1)
        if exists(board, chip.file(f"curr{number}_input"))
        and board.number_or_none(chip.file(f"in{number}_enable")) != 0
    ]
    # A channel that is wired to nothing is converted too, and so is part of the lag.
    lag_s = ina3221.lag_s(
        board.number_or_none(chip.file("samples")),
        board.number_or_none(chip.file("update_interval")),
        max(len(on), 1),
    )
    labels = {number: board.text_or_none(chip.file(f"in{number}_label")) for number in on}
    return [
        _Channel(
            rail=labels[number] or f"{chip.device or chip.name} channel {number}",
            chip=chip,
            number=number,
            shunt_uohm=board.number_or_none(chip.file(f"shunt{number}_resistor")) or ina3221.USUAL_SHUNT_UOHM,
            lag_s=lag_s,
        )
        for number in on
        if labels[number] != NOT_CONNECTED
    ]


def _meter(board: BoardRoot, channels: Sequence[_Channel], module: JetsonModule | None) -> Meter:
    names = [channel.rail for channel in channels]
    total = total_of(module, names)
    sources = [
        _source(board, channel, channel.rail in total.rails, usual_volt(module, channel.rail))
        for channel in channels
    ]
    summed = [source for source in sources if source.in_total]
    lag_s = max(channel.lag_s for channel in channels if channel.rail in total.rails)
    devices = sorted({channel.chip.device or channel.chip.name for channel in channels})
    where = f"{channels[0].chip.name} {', '.join(devices)}"
    description = Description(
        name=ina3221.KIND,
        kind=ina3221.KIND,
        coverage=total.coverage,
        rails=tuple(source.rail for source in sources),
        rate_hz=ina3221.rate_hz(lag_s, waiting_reads=0 if _is_nvidias(board) else 2 * len(sources)),
        resolution_mw=root_sum_of_squares([source.resolution_mw for source in summed]),
        gain_error=ina3221.GAIN_ERROR,
        offset_error_mw=root_sum_of_squares([source.offset_error_mw for source in summed]),
        lag_s=lag_s,
        has_counter=False,
        detail=f"hwmon, {where}; total is {' + '.join(total.rails)}",
    )

    def read() -> Reading:
        return read_rails(sources, where, REMEDY)

    return Polled(description, lambda: read)


def _is_nvidias(board: BoardRoot) -> bool:
    """Whether the system is L4T, whose driver answers at once (patch of 2021-06)."""
    return exists(board, "etc/nv_tegra_release")


def _source(board: BoardRoot, channel: _Channel, in_total: bool, volt: float) -> RailSource:
    voltage_mv = Attribute(board, channel.chip.file(f"in{channel.number}_input"))
    current_ma = Attribute(board, channel.chip.file(f"curr{channel.number}_input"))
    return RailSource(
        name=channel.rail,
        in_total=in_total,
        read_mw=lambda: voltage_mv.read() * current_ma.read() / 1000,
        resolution_mw=ina3221.step_mw(channel.shunt_uohm, volt),
        offset_error_mw=ina3221.offset_error_mw(channel.shunt_uohm, volt),
    )
