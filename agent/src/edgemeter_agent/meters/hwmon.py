"""Any other chip of Linux' hwmon that tells power: INA219, INA226, a server's ACPI power meter, …

Units of hwmon: power in uW, energy in uJ, voltage in mV, current in mA (the kernel's
hwmon/sysfs-interface.rst). A chip is one meter, read one way: its power, else its voltage times its
current, else its energy.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import BOARD, PACKAGE, Description, Meter, Rail, Reading, Unusable
from edgemeter_agent.meters.attribute import Attribute, fault_of, forbidden
from edgemeter_agent.meters.counter import Unwrapped, counted_reader
from edgemeter_agent.meters.hwmon_chips import Chip, chips, name_of, numbers_of
from edgemeter_agent.meters.ina238 import CHIPS as INA238_CHIPS
from edgemeter_agent.meters.jetson_rails import DOUBLE_COUNT
from edgemeter_agent.meters.polled import Polled
from edgemeter_agent.meters.rails import WITHOUT_DATASHEET, RailSource, read_rails, rectangular

KIND = "hwmon"
READ_ELSEWHERE = ("ina3221", *INA238_CHIPS)
REMEDY = "run the agent as root, or set a rule of udev for hwmon"

COVERAGE = {"power_meter": BOARD, "fam15h_power": PACKAGE, "amd_energy": PACKAGE}
"""By chip; any other covers what it is wired to, which only its owner knows."""

SUPPLY_TYPES = ("Battery", "UPS", "Mains", "USB", "Wireless")
"""Of /sys/class/power_supply, which hwmon shows again. A USB-C port's values are limits that were
negotiated."""

RATE_HZ = 10.0
RESOLUTION_MW = 1.0
POWER_METER_LAG_S = 1.0
USUAL_VOLT = 5
SHUNT_TOLERANCE = 0.01


@dataclass(frozen=True, kw_only=True)
class Ina2xx:
    """What the datasheet and the driver ina2xx say of a chip.

    Attributes:
        shunt_step_uv: of the shunt's voltage; over the resistor it is a step of current.
        power_factor: a step of power is so many steps of current, times 1 V.
        offset_limit_uv: of the shunt's voltage.
        gain_limit: of the shunt's voltage and of the bus voltage, each.
        interval_s: in which the driver lets it renew its values.
    """

    shunt_step_uv: float
    power_factor: int
    offset_limit_uv: float
    gain_limit: float
    interval_s: float

    def step_mw(self, shunt_uohm: int) -> float:
        return self.shunt_step_uv / shunt_uohm * self.power_factor * 1000

    def offset_error_mw(self, shunt_uohm: int) -> float:
        return rectangular(self.offset_limit_uv) / shunt_uohm * USUAL_VOLT * 1000

    @property
    def gain_error(self) -> float:
        return math.sqrt(2 * rectangular(self.gain_limit) ** 2 + rectangular(SHUNT_TOLERANCE) ** 2)


_INA219 = Ina2xx(
    shunt_step_uv=10, power_factor=20, offset_limit_uv=100, gain_limit=0.005, interval_s=2 * 532e-6
)
_INA226 = Ina2xx(
    shunt_step_uv=2.5, power_factor=25, offset_limit_uv=10, gain_limit=0.001, interval_s=16 * 2 * 1100e-6
)
_INA230 = Ina2xx(
    shunt_step_uv=2.5, power_factor=25, offset_limit_uv=50, gain_limit=0.005, interval_s=16 * 2 * 1100e-6
)
INA2XX = {"ina219": _INA219, "ina220": _INA219, "ina226": _INA226, "ina230": _INA230, "ina231": _INA230}

DRIVER_SHUNT_UOHM = 10_000
"""Of ina2xx where nobody set another; boards with an INA219 for sale have 100 000."""
INA2XX_RATE_HZ = 50.0


@dataclass(frozen=True, kw_only=True)
class _Channels:
    """Attributes:
    power: numbers -> file of the power.
    products: numbers with both a voltage and a current.
    energies: numbers with energy.
    """

    power: dict[int, str]
    products: tuple[int, ...]
    energies: tuple[int, ...]


def find(board: BoardRoot) -> list[Meter | Unusable]:
    """One meter for each chip."""
    found = [
        (chip, channels)
        for chip in chips(board)
        if chip.name not in READ_ELSEWHERE and not _is_supply(board, chip)
        for channels in [_channels(board, chip)]
        if channels.power or channels.products or channels.energies
    ]
    names = [chip.name for chip, _ in found]
    return [
        _meter(board, chip, channels, name_of(f"{KIND}-{chip.name}", chip, names.count(chip.name)))
        for chip, channels in found
    ]


def _is_supply(board: BoardRoot, chip: Chip) -> bool:
    return chip.name.startswith("ucsi") or board.text_or_none(chip.file("device/type")) in SUPPLY_TYPES


def _channels(board: BoardRoot, chip: Chip) -> _Channels:
    power = {
        number: chip.file(f"power{number}_{ending}")
        for ending in ("average", "input")
        for number in numbers_of(board, chip, "power", ending)
    }
    # in0 is a shunt's own voltage where there is one.
    voltages = set(numbers_of(board, chip, "in", "input")) - {0}
    currents = numbers_of(board, chip, "curr", "input")
    return _Channels(
        power=power,
        products=tuple(number for number in currents if number in voltages),
        energies=tuple(numbers_of(board, chip, "energy", "input")),
    )


def _meter(board: BoardRoot, chip: Chip, channels: _Channels, name: str) -> Meter | Unusable:
    name = name.replace(":", "-")
    kind, numbers, files = _way(chip, channels)
    where = f"hwmon {chip.name} {chip.device}".rstrip()
    for path in files:
        if forbidden(board, path):
            return Unusable(name=name, reason=f"/{path} may not be read: {REMEDY}")
    rails = [
        board.text_or_none(chip.file(f"{kind}{number}_label"))
        or (chip.name if len(numbers) == 1 else f"{kind}{number}")
        for number in numbers
    ]
    made = INA2XX.get(chip.name)
    shunt_uohm = board.number_or_none(chip.file("shunt_resistor")) or DRIVER_SHUNT_UOHM
    coverage = COVERAGE.get(chip.name, f"only what {chip.name} is wired to")
    counts = set(numbers) <= set(channels.energies)
    description = Description(
        name=name,
        kind=KIND,
        coverage=coverage if len(numbers) == 1 else f"{coverage}: {DOUBLE_COUNT}",
        rails=tuple(Rail(name=rail, in_total=True) for rail in rails),
        rate_hz=INA2XX_RATE_HZ if made else RATE_HZ,
        resolution_mw=made.step_mw(shunt_uohm) if made else RESOLUTION_MW,
        gain_error=made.gain_error if made else rectangular(WITHOUT_DATASHEET),
        offset_error_mw=made.offset_error_mw(shunt_uohm) if made else 0,
        lag_s=_lag_s(board, chip, made),
        has_counter=counts,
        detail=_detail(chip, files, shunt_uohm if made else None),
    )
    counters = [chip.file(f"energy{number}_input") for number in numbers] if counts else []
    if kind == "energy":
        return Polled(
            description,
            lambda: counted_reader(_energies(board, counters), RATE_HZ, where, REMEDY),
        )
    sources = [
        RailSource(
            name=rail,
            in_total=True,
            read_mw=_power(board, chip, channels, kind, number),
            resolution_mw=description.resolution_mw,
            offset_error_mw=description.offset_error_mw,
        )
        for rail, number in zip(rails, numbers, strict=True)
    ]
    return Polled(description, lambda: _instant(board, sources, counters, where))


def _way(chip: Chip, channels: _Channels) -> tuple[str, Sequence[int], list[str]]:
    """How the chip is read: (prefix of its labels, channels, files)."""
    if channels.power:
        return "power", sorted(channels.power), [channels.power[number] for number in sorted(channels.power)]
    if channels.products:
        pairs = [chip.file(f"{what}{n}_input") for n in channels.products for what in ("in", "curr")]
        return "curr", channels.products, pairs
    return "energy", channels.energies, [chip.file(f"energy{number}_input") for number in channels.energies]


def _lag_s(board: BoardRoot, chip: Chip, made: Ina2xx | None) -> float:
    """How late a mean over an interval is that then stands for as long: one interval."""
    for attribute in ("update_interval", "power1_average_interval"):
        interval_ms = board.number_or_none(chip.file(attribute))
        if interval_ms:
            return interval_ms / 1000
    if made:
        return made.interval_s
    return POWER_METER_LAG_S if chip.name == "power_meter" else 0.0


def _detail(chip: Chip, files: list[str], shunt_uohm: int | None) -> str:
    names = ", ".join(path.rpartition("/")[2] for path in files)
    said = f"hwmon, {chip.name} {chip.device}".rstrip() + f": {names}"
    if shunt_uohm is None:
        return f"{said}; accuracy unknown, taken as {WITHOUT_DATASHEET:.0%}"
    said += f"; shunt {shunt_uohm / 1000:g} mOhm"
    if shunt_uohm == DRIVER_SHUNT_UOHM:
        said += (
            ", the driver's own: with one of 100 mOhm all is 10 times too high until shunt_resistor is set"
        )
    return said


def _power(board: BoardRoot, chip: Chip, channels: _Channels, kind: str, number: int) -> Callable[[], float]:
    if kind == "power":
        power_uw = Attribute(board, channels.power[number])
        return lambda: power_uw.read() / 1000
    voltage_mv = Attribute(board, chip.file(f"in{number}_input"))
    current_ma = Attribute(board, chip.file(f"curr{number}_input"))
    return lambda: voltage_mv.read() * current_ma.read() / 1000


def _instant(
    board: BoardRoot, sources: list[RailSource], counters: list[str], where: str
) -> Callable[[], Reading]:
    energies = _energies(board, counters)

    def read() -> Reading:
        reading = read_rails(sources, where, REMEDY)
        if not energies or reading.fault:
            return reading
        try:
            counter_uj = float(sum(energy.read(time.monotonic_ns()) for energy in energies))
        except (OSError, ValueError) as error:
            fault = fault_of(error, where, REMEDY)
            return Reading(monotonic_ns=reading.monotonic_ns, total_mw=None, fault=fault)
        return Reading(
            monotonic_ns=reading.monotonic_ns,
            total_mw=reading.total_mw,
            rails_mw=reading.rails_mw,
            counter_uj=counter_uj,
        )

    return read


def _energies(board: BoardRoot, counters: Sequence[str]) -> list[Unwrapped]:
    return [Unwrapped(read_uj=Attribute(board, path).read, range_uj=0) for path in counters]
