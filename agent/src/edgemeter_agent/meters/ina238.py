"""TI INA238 and INA237: on Jetson AGX Thor at the board's own input, elsewhere wherever somebody wired it.

The driver multiplies in the chip: power1_input in uW is of one conversion. Datasheet SBOSA20; driver
hwmon/ina238.c.
"""

from __future__ import annotations

import math

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import BOARD, Description, Meter, Reading, Unusable
from edgemeter_agent.meters.attribute import Attribute, exists, forbidden
from edgemeter_agent.meters.hwmon_chips import Chip, chips, name_of
from edgemeter_agent.meters.jetson_rails import module_of
from edgemeter_agent.meters.polled import Polled
from edgemeter_agent.meters.rails import RailSource, read_rails, rectangular

KIND = "ina238"
CHIPS = ("ina237", "ina238")
REMEDY = "run the agent as root, or set a rule of udev for hwmon"

GAIN_LIMIT = 0.001
"""Of the shunt's voltage and of the bus voltage, each."""
SHUNT_TOLERANCE = 0.01
"""Of the resistor; no board states its own."""
SHUNT_OFFSET_LIMIT_UV = 5
GAIN_ERROR = math.sqrt(2 * rectangular(GAIN_LIMIT) ** 2 + rectangular(SHUNT_TOLERANCE) ** 2)

DRIVER_INTERVAL_S = 16 * 3 * 1052e-6
"""The driver sets a mean over 16 rounds of three conversions of 1052 us. A mean over an interval that then
stands for as long is late by one interval on average, as a first-order lag of that time constant is."""
RATE_HZ = 40.0

DRIVER_SHUNT_UOHM = 10_000
"""Where the device tree sets none. The driver does not show what it took."""
SHUNT_STEP_UV = 5
USUAL_VOLT = 19


def find(board: BoardRoot) -> list[Meter | Unusable]:
    """One meter for each chip."""
    mine = [chip for chip in chips(board) if chip.name in CHIPS and exists(board, chip.file("power1_input"))]
    return [_meter(board, chip, name_of(KIND, chip, len(mine))) for chip in mine]


def _meter(board: BoardRoot, chip: Chip, name: str) -> Meter | Unusable:
    path = chip.file("power1_input")
    if forbidden(board, path):
        return Unusable(name=name, reason=f"/{path} may not be read: {REMEDY}")
    module = module_of(board)
    at_input = module is not None and module.name == "AGX Thor"
    interval_ms = board.number_or_none(chip.file("update_interval"))
    power_uw = Attribute(board, path)
    amperes_a_step = SHUNT_STEP_UV / DRIVER_SHUNT_UOHM
    offset_ampere = rectangular(SHUNT_OFFSET_LIMIT_UV) / DRIVER_SHUNT_UOHM
    source = RailSource(
        name="VIN" if at_input else board.text_or_none(chip.file("label")) or chip.name,
        in_total=True,
        read_mw=lambda: power_uw.read() / 1000,
        resolution_mw=amperes_a_step * USUAL_VOLT * 1000,
        offset_error_mw=offset_ampere * USUAL_VOLT * 1000,
    )
    where = f"{chip.name} {chip.device}".strip()
    description = Description(
        name=name,
        kind=KIND,
        coverage=BOARD if at_input else f"only what {chip.name} is wired to",
        rails=(source.rail,),
        rate_hz=RATE_HZ,
        resolution_mw=source.resolution_mw,
        gain_error=GAIN_ERROR,
        offset_error_mw=source.offset_error_mw,
        lag_s=DRIVER_INTERVAL_S if interval_ms is None else interval_ms / 1000,
        has_counter=False,
        detail=f"hwmon, {where}",
    )

    def read() -> Reading:
        return read_rails([source], where, REMEDY)

    return Polled(description, lambda: read)
