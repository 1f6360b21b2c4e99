"""Jetson's INA3221 through NVIDIA's own driver ina3221x: JetPack 4 and before.

in_powerN_input is voltage times current in mW, of one conversion, N from 0. Where there is none, both are
read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import Description, Meter, Reading, Unusable, ina3221
from edgemeter_agent.meters.attribute import Attribute, exists, forbidden
from edgemeter_agent.meters.jetson_rails import (
    NOT_CONNECTED,
    JetsonModule,
    module_of,
    total_of,
    usual_volt,
)
from edgemeter_agent.meters.polled import Polled
from edgemeter_agent.meters.rails import RailSource, read_rails, root_sum_of_squares

REMEDY = "run the agent as root, or set a rule of udev for iio"

CONTINUOUS_LAG_S = 64 * 3 * 2 * 1100e-6
"""The driver averages 64 samples of 1.1 ms where the device tree sets nothing else
(INA3221_CONT_CONFIG_DATA); 0.42 s, and 0.43 s for the 512 samples of 140 us that newer L4T sets."""
TRIGGERED = "0"
"""running_mode: each read starts a conversion of its own, which nothing averages."""


@dataclass(frozen=True, kw_only=True)
class _Channel:
    rail: str
    path: str
    number: int


def find(board: BoardRoot) -> list[Meter | Unusable]:
    """One meter over all chips, or nothing."""
    channels = [
        channel
        for path in board.glob("sys/bus/i2c/drivers/ina3221x/*/iio:device*")
        for channel in _channels(board, path)
    ]
    if not channels:
        return []
    for channel in channels:
        current = f"{channel.path}/in_current{channel.number}_input"
        if forbidden(board, current):
            return [Unusable(name=ina3221.KIND, reason=f"/{current} may not be read: {REMEDY}")]
    return [_meter(board, channels, module_of(board))]


def _channels(board: BoardRoot, path: str) -> list[_Channel]:
    labels = {number: board.text_or_none(f"{path}/rail_name_{number}") for number in range(ina3221.CHANNELS)}
    return [
        _Channel(rail=label, path=path, number=number)
        for number, label in labels.items()
        if label and label != NOT_CONNECTED and exists(board, f"{path}/in_current{number}_input")
    ]


def _meter(board: BoardRoot, channels: Sequence[_Channel], module: JetsonModule | None) -> Meter:
    total = total_of(module, [channel.rail for channel in channels])
    sources = [
        _source(board, channel, channel.rail in total.rails, usual_volt(module, channel.rail))
        for channel in channels
    ]
    summed = [source for source in sources if source.in_total]
    folders = sorted({channel.path for channel in channels})
    triggered = all(board.text_or_none(f"{folder}/running_mode") == TRIGGERED for folder in folders)
    lag_s = 0.0 if triggered else CONTINUOUS_LAG_S
    where = ", ".join(folder.split("/")[-2] for folder in folders)
    description = Description(
        name=ina3221.KIND,
        kind=ina3221.KIND,
        coverage=total.coverage,
        rails=tuple(source.rail for source in sources),
        rate_hz=ina3221.rate_hz(lag_s),
        resolution_mw=root_sum_of_squares([source.resolution_mw for source in summed]),
        gain_error=ina3221.GAIN_ERROR,
        offset_error_mw=root_sum_of_squares([source.offset_error_mw for source in summed]),
        lag_s=lag_s,
        has_counter=False,
        detail=f"iio, ina3221x {where}; total is {' + '.join(total.rails)}",
    )

    def read() -> Reading:
        return read_rails(sources, f"ina3221x {where}", REMEDY)

    return Polled(description, lambda: read)


def _source(board: BoardRoot, channel: _Channel, in_total: bool, volt: float) -> RailSource:
    return RailSource(
        name=channel.rail,
        in_total=in_total,
        read_mw=_power(board, channel),
        resolution_mw=ina3221.step_mw(ina3221.USUAL_SHUNT_UOHM, volt),
        offset_error_mw=ina3221.offset_error_mw(ina3221.USUAL_SHUNT_UOHM, volt),
    )


def _power(board: BoardRoot, channel: _Channel) -> Callable[[], float]:
    path = f"{channel.path}/in_power{channel.number}_input"
    if exists(board, path):
        return Attribute(board, path).read
    voltage_mv = Attribute(board, f"{channel.path}/in_voltage{channel.number}_input")
    current_ma = Attribute(board, f"{channel.path}/in_current{channel.number}_input")
    return lambda: voltage_mv.read() * current_ma.read() / 1000
