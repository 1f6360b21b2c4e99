"""`ina226:BUS:ADDR`, `ina228:BUS:ADDR`, `ina260:BUS:ADDR`: a power monitor on I2C that no kernel driver has.

`ina228:1:0x40?shunt_mohm=10` reads the chip at address 0x40 of /dev/i2c-1 over a shunt of 10 mOhm. There is
no usual shunt, so INA226 and INA228 must be told theirs: a wrong one is a wrong energy. Options:

    shunt_mohm=10           resistance of the shunt
    shunt_tolerance=0.005   its tolerance, as a share (default 0.01)
    range_a=2               largest current; an INA228 then takes its finer range where that is enough
    average=16              conversions averaged to a reading: 1, 4, 16, 64, 128, 256, 512 or 1024
    conversion_us=1100      time of a conversion; there are eight

The chip is set up at opening, and converts without a pause. A result's age at reading is anything between 0
and one period, and it is a mean over the period before that: a reading's stamp is put back by what is
expected.
"""

from __future__ import annotations

import errno
import math
import re
import time
from collections.abc import Callable, Iterator
from threading import Event

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import BOARD, Description, Meter, MeterError, Reading
from edgemeter_agent.meters.i2c_bus import LinuxI2c, RegisterBus
from edgemeter_agent.meters.ina226 import Ina226, Ina260
from edgemeter_agent.meters.ina228 import Ina228
from edgemeter_agent.meters.ina_chip import AVERAGES, Chip, Overrange, Settings
from edgemeter_agent.meters.pacing import paced
from edgemeter_agent.meters.patience import Patience
from edgemeter_agent.meters.spec import Spec

MAX_RATE_HZ = 200.0
"""More would only load the bus and the processor that is measured."""
CHECK_EVERY_S = 1.0
"""So often it is asked whether it still has its settings."""
USUAL_CONVERSION_US = 1100
SHUNT_TOLERANCE = 0.01

CHIPS: dict[str, type[Chip]] = {chip.NAME: chip for chip in (Ina226, Ina228, Ina260)}

_ADDRESS = re.compile(r"(\d{1,3}):(0x[0-9a-fA-F]{2}|\d{1,3})", re.ASCII)


class InaMeter:
    """See meters.Meter."""

    def __init__(
        self,
        spec: Spec,
        chip: Chip,
        bus: RegisterBus,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Sets the chip up. Raises MeterError; the bus is closed then."""
        self._chip = chip
        self._bus = bus
        self._clock_ns = clock_ns
        self._patience = Patience(spec.name, clock=lambda: clock_ns() / 1e9)
        self._name = spec.name
        self._checked_ns = clock_ns()
        self._energy = _Energy(chip) if isinstance(chip, Ina228) else None
        try:
            other = chip.identify(bus)
            if other:
                raise MeterError("meter_unreachable", f"{spec.name}: another chip is there ({other})")
            chip.configure(bus)
            # The first result, and then the voltage of this supply, on which steps and offset depend.
            sleep(2 * chip.period_s)
            bus_v = chip.bus_v(bus)
        except OSError as error:
            bus.close()
            raise MeterError(
                "meter_unreachable", f"{spec.name}: nothing answers at this address ({_words(error)})"
            ) from None
        except MeterError:
            bus.close()
            raise
        shunt = f"{1000 * chip.shunt_ohm:g} mOhm" if chip.settings.shunt_ohm else "its own shunt"
        self.description = spec.described(
            Description(
                name=spec.name,
                kind=spec.kind,
                coverage=BOARD,
                rails=(),
                rate_hz=min(1 / chip.period_s, MAX_RATE_HZ),
                resolution_mw=chip.resolution_mw(bus_v),
                gain_error=chip.gain_error,
                offset_error_mw=chip.offset_mw(bus_v),
                lag_s=0.0,
                has_counter=chip.HAS_ENERGY,
                detail=f"I2C {spec.target}, {shunt}, {bus_v:.3g} V, {chip.settings.average} conversions of"
                f" {chip.settings.conversion_us} us averaged",
            )
        )

    @property
    def alignment_ns(self) -> float:
        """Standard uncertainty of the stamps: the age of a result is spread evenly over a period."""
        return 1e9 * self._chip.period_s / math.sqrt(12)

    def readings(self, stop: Event) -> Iterator[Reading]:
        return paced(self.read, self.description.rate_hz, stop)

    def close(self) -> None:
        self._bus.close()

    def read(self) -> Reading:
        """One reading, now. Raises MeterError."""
        before_ns = self._clock_ns()
        try:
            if before_ns - self._checked_ns > CHECK_EVERY_S * 1e9:
                self._check_settings()
            energy_raw = self._chip.energy_raw(self._bus) if self._energy is not None else 0
            power_mw = self._chip.power_mw(self._bus)
        except OSError as error:
            fault = errno.errorcode.get(error.errno or 0, "EIO")
            self._patience.failed("meter_gone", _words(error))
            return Reading(monotonic_ns=before_ns, total_mw=None, fault=fault)
        except Overrange:
            return Reading(monotonic_ns=before_ns, total_mw=None, fault="over_range")
        self._patience.succeeded()
        now_ns = (before_ns + self._clock_ns()) // 2
        if self._energy is None:
            # Mean age half a period, and the middle of the period that was averaged.
            return Reading(monotonic_ns=now_ns - round(1e9 * self._chip.period_s), total_mw=power_mw)
        # What counts is the counter, which stands as at its last update.
        stamp_ns = now_ns - round(0.5e9 * self._chip.period_s)
        counter_uj = self._energy.counter_uj(energy_raw, now_ns)
        if counter_uj is None:
            raise self._was_reset()
        return Reading(monotonic_ns=stamp_ns, total_mw=power_mw, counter_uj=counter_uj)

    def _check_settings(self) -> None:
        if not self._chip.has_settings(self._bus):
            raise self._was_reset()
        self._checked_ns = self._clock_ns()

    def _was_reset(self) -> MeterError:
        return MeterError(
            "meter_gone", f"{self._name}: the chip lost its settings, so its supply was interrupted"
        )


class _Energy:
    """The 40-bit register, unwrapped."""

    def __init__(self, chip: Ina228) -> None:
        self._lsb_uj = chip.energy_lsb_uj
        # The power register's end, 2^24 steps, and the clock's 1 % twice over.
        self._max_uj_per_ns = 1.02 * chip.power_lsb_w * 2**24 * 1e6 / 1e9
        self._slack_uj = self._max_uj_per_ns * chip.period_s * 2e9
        self._modulus = 2**chip.ENERGY_BITS
        self._last: tuple[int, int] | None = None
        self._counted = 0

    def counter_uj(self, raw: int, now_ns: int) -> float | None:
        """None where more was added than the chip can measure in the time: it began anew."""
        if self._last is not None:
            last_raw, last_ns = self._last
            added = (raw - last_raw) % self._modulus
            if added * self._lsb_uj > self._max_uj_per_ns * (now_ns - last_ns) + self._slack_uj:
                return None
            self._counted += added
        self._last = (raw, now_ns)
        return self._counted * self._lsb_uj


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def prepare(spec: Spec, board: BoardRoot) -> Callable[[], Meter]:
    place = _ADDRESS.fullmatch(spec.target)
    if place is None:
        raise spec.wrong("the form is BUS:ADDR, as in 1:0x40")
    bus, address = int(place[1]), int(place[2], 0 if place[2].startswith("0x") else 10)
    if not 0x03 <= address <= 0x77:
        raise spec.wrong(f"{place[2]} is no 7-bit I2C address")
    chip = chip_of(spec)
    return lambda: InaMeter(spec, chip, LinuxI2c(board, bus, address))


def chip_of(spec: Spec) -> Chip:
    """Raises ValueError, one line, for settings that the chip can't have."""
    kind = CHIPS[spec.kind]
    has_own_shunt = spec.kind == "ina260"
    if not has_own_shunt and "shunt_mohm" not in spec.options:
        raise spec.wrong("say what the shunt has, as in ?shunt_mohm=10")
    usual = min(kind.CONVERSIONS_US, key=lambda each: abs(each - USUAL_CONVERSION_US))
    settings = Settings(
        average=spec.whole("average", 16, 1, 1024),
        conversion_us=spec.whole("conversion_us", usual, 1, 10000),
        shunt_ohm=0.0 if has_own_shunt else spec.number("shunt_mohm", 0, 0.01, 1e5) / 1000,
        shunt_tolerance=spec.number("shunt_tolerance", 0.0 if has_own_shunt else SHUNT_TOLERANCE, 0, 0.5),
        range_a=spec.number("range_a", 0.0, 0.0, 1000),
    )
    for option, value, allowed in (
        ("average", settings.average, AVERAGES),
        ("conversion_us", settings.conversion_us, kind.CONVERSIONS_US),
    ):
        if value not in allowed:
            raise spec.wrong(f"{option}={value} is none of {', '.join(map(str, allowed))}")
    try:
        return kind(settings)
    except ValueError as error:
        raise spec.wrong(str(error)) from None
