"""The registers of TI's INA226, INA228 and INA260 power monitors.

Sources: the datasheets SBOS547B (INA226, September 2024), SLYS021A (INA228, May 2022) and SBOS656C (INA260,
December 2016), named below by their part. Registers are big-endian.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from edgemeter_agent.meters.i2c_bus import RegisterBus

AVERAGES = (1, 4, 16, 64, 128, 256, 512, 1024)
"""Conversions to average, by the three AVG bits; the same in all three chips."""

TI = 0x5449
"""MANUFACTURER_ID, "TI"."""

_RECTANGULAR = math.sqrt(3)
"""A datasheet's maximum to a standard uncertainty (GUM 4.3.7)."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Attributes:
    average: of AVERAGES.
    conversion_us: of the chip's CONVERSIONS_US, for each of shunt and bus voltage.
    shunt_ohm: 0 for a chip with its own.
    shunt_tolerance: the resistor's, as a share; a maximum.
    range_a: the largest current that is expected; 0 for the chip's full scale.
    """

    average: int
    conversion_us: int
    shunt_ohm: float = 0.0
    shunt_tolerance: float = 0.0
    range_a: float = 0.0


class Overrange(Exception):
    """A register stands at its end: the true current is larger."""


class Chip(ABC):
    """One kind of chip with its settings. Knows registers, not buses."""

    NAME: str
    CONVERSIONS_US: tuple[int, ...]
    HAS_ENERGY = False
    FULL_SCALE_V: float
    """Across the shunt, the largest range."""

    def __init__(self, settings: Settings) -> None:
        """Raises ValueError where the shunt can't measure what is asked for."""
        self.settings = settings
        full_scale_a = self.FULL_SCALE_V / self.shunt_ohm
        if settings.range_a > full_scale_a:
            raise ValueError(
                f"range_a={settings.range_a:g} is beyond {full_scale_a:.4g} A, where"
                f" {1000 * self.shunt_ohm:g} mOhm reach the chip's {1000 * self.FULL_SCALE_V:g} mV"
            )

    @property
    def shunt_ohm(self) -> float:
        return self.settings.shunt_ohm

    @property
    def period_s(self) -> float:
        """Between two results: shunt and bus one after the other, averaged."""
        return self.settings.average * 2 * self.settings.conversion_us * 1e-6

    @property
    def gain_error(self) -> float:
        """Standard uncertainty, as a share; shunt and chip are independent."""
        return math.hypot(*self.gain_maxima()) / _RECTANGULAR

    @property
    @abstractmethod
    def current_lsb_a(self) -> float: ...

    @abstractmethod
    def gain_maxima(self) -> tuple[float, ...]:
        """The datasheet's, as shares."""

    @abstractmethod
    def offset_mw(self, bus_v: float) -> float:
        """Standard uncertainty of the zero at this voltage."""

    @abstractmethod
    def resolution_mw(self, bus_v: float, /) -> float: ...

    @abstractmethod
    def identify(self, bus: RegisterBus) -> str:
        """Empty where the chip is of this kind, else what it says it is. Raises OSError."""

    @abstractmethod
    def configure(self, bus: RegisterBus) -> None:
        """Raises OSError."""

    @abstractmethod
    def has_settings(self, bus: RegisterBus) -> bool:
        """False after a reset, when its numbers mean nothing. Raises OSError."""

    @abstractmethod
    def bus_v(self, bus: RegisterBus) -> float:
        """Raises OSError."""

    @abstractmethod
    def power_mw(self, bus: RegisterBus) -> float:
        """Raises OSError and Overrange."""

    def energy_raw(self, bus: RegisterBus) -> int:
        """The energy register, for a chip that has one. Raises OSError."""
        raise NotImplementedError

    def _adc_bits(self) -> tuple[int, int]:
        """Codes of averaging and of the conversion time."""
        return (
            AVERAGES.index(self.settings.average),
            self.CONVERSIONS_US.index(self.settings.conversion_us),
        )


class _Sixteen(Chip):
    """What INA226 and INA260 share: 16-bit registers, signed current, 1.25 mV steps of the bus voltage.

    Power is current x bus voltage here: the chips' own power register drops the sign and has steps of 25
    currents (INA226) or 10 mW (INA260), coarser than the product below 25 V.
    """

    # INA226 7.1.1, INA260 8.6.1: 140 us to 8.244 ms, typical.
    CONVERSIONS_US = (140, 204, 332, 588, 1100, 2116, 4156, 8244)
    CONTINUOUS = 0b111
    BUS_LSB_V = 1.25e-3
    CONFIG = 0x00
    DIE_ID = 0xFF
    CURRENT: int
    BUS: int
    DIE: int
    FIXED_BITS: int

    def identify(self, bus: RegisterBus) -> str:
        maker, die = _unsigned(bus, 0xFE, 2), _unsigned(bus, self.DIE_ID, 2)
        # The last four bits are the revision.
        return "" if (maker, die >> 4) == (TI, self.DIE >> 4) else f"{maker:#06x} {die:#06x}"

    @property
    def config(self) -> int:
        average, conversion = self._adc_bits()
        return self.FIXED_BITS | average << 9 | conversion << 6 | conversion << 3 | self.CONTINUOUS

    def configure(self, bus: RegisterBus) -> None:
        bus.write(self.CONFIG, self.config.to_bytes(2, "big"))

    def has_settings(self, bus: RegisterBus) -> bool:
        return _unsigned(bus, self.CONFIG, 2) == self.config

    def bus_v(self, bus: RegisterBus) -> float:
        return self.BUS_LSB_V * _unsigned(bus, self.BUS, 2)

    def power_mw(self, bus: RegisterBus) -> float:
        raw = _signed(bus, self.CURRENT, 2)
        if abs(raw) >= 0x7FFF:
            raise Overrange
        return 1000 * raw * self.current_lsb_a * self.bus_v(bus)

    def resolution_mw(self, bus_v: float, /) -> float:
        return 1000 * self.current_lsb_a * bus_v


class Ina226(_Sixteen):
    NAME = "ina226"
    FULL_SCALE_V = 0.08192
    CURRENT, BUS, DIE = 0x04, 0x02, 0x2260
    CALIBRATION = 0x05
    FIXED_BITS = 0x4000
    """Reads back so: the reset value is 0x4127 (INA226 table 7-3)."""

    @property
    def current_lsb_a(self) -> float:
        """INA226 equation 2 at full scale, 81.92 mV / 2^15: one step of the shunt register, 2.5 uV."""
        return self.FULL_SCALE_V / 2**15 / self.shunt_ohm

    @property
    def calibration(self) -> int:
        """INA226 equation 1: 0.00512 / (Current_LSB x R_SHUNT)."""
        return round(0.00512 / (self.current_lsb_a * self.shunt_ohm))

    def gain_maxima(self) -> tuple[float, ...]:
        # Shunt and bus voltage, 0.1 % each.
        return 0.001, 0.001, self.settings.shunt_tolerance

    def offset_mw(self, bus_v: float) -> float:
        # 10 uV across the shunt; the bus voltage's 7.5 mV scale with the current, and belong to no zero.
        return 1000 * 10e-6 / self.shunt_ohm * bus_v / _RECTANGULAR

    def configure(self, bus: RegisterBus) -> None:
        super().configure(bus)
        bus.write(self.CALIBRATION, self.calibration.to_bytes(2, "big"))

    def has_settings(self, bus: RegisterBus) -> bool:
        # Without a calibration it reports a current of 0.
        return super().has_settings(bus) and _unsigned(bus, self.CALIBRATION, 2) == self.calibration


class Ina260(_Sixteen):
    NAME = "ina260"
    SHUNT_OHM = 0.002
    FULL_SCALE_V = 0.08192
    CURRENT, BUS, DIE = 0x01, 0x02, 0x2270
    FIXED_BITS = 0x6000
    """The reset value is 0x6127 (INA260 table 5)."""

    @property
    def shunt_ohm(self) -> float:
        return self.SHUNT_OHM

    @property
    def current_lsb_a(self) -> float:
        return 1.25e-3

    def gain_maxima(self) -> tuple[float, ...]:
        # Current with the built-in shunt 0.15 %, bus voltage 0.1 %.
        return 0.0015, 0.001

    def offset_mw(self, bus_v: float) -> float:
        return 1000 * 5e-3 * bus_v / _RECTANGULAR


class Ina228(Chip):
    NAME = "ina228"
    # INA228 table 7-6.
    CONVERSIONS_US = (50, 84, 150, 280, 540, 1052, 2074, 4120)
    HAS_ENERGY = True
    FULL_SCALE_V = 0.16384
    FINE_SCALE_V = 0.04096
    CONFIG, ADC_CONFIG, SHUNT_CAL, BUS, POWER, ENERGY = 0x00, 0x01, 0x02, 0x05, 0x08, 0x09
    CURRENT = 0x07
    RESET_ACCUMULATORS = 1 << 14
    FINE = 1 << 4
    CONTINUOUS_SHUNT_AND_BUS = 0xB
    TEMPERATURE_CONVERSION = 5
    """Not used in this mode; its reset value."""
    BUS_LSB_V = 195.3125e-6
    ENERGY_BITS = 40

    @property
    def scale_v(self) -> float:
        """The finer of the two ranges (ADCRANGE) where the expected current fits into it."""
        range_v = self.settings.range_a * self.shunt_ohm
        return self.FINE_SCALE_V if 0 < range_v <= self.FINE_SCALE_V else self.FULL_SCALE_V

    @property
    def current_lsb_a(self) -> float:
        """INA228 equation 3 at full scale: maximum current / 2^19."""
        return self.scale_v / self.shunt_ohm / 2**19

    @property
    def calibration(self) -> int:
        """INA228 equation 2: 13107.2e6 x CURRENT_LSB x R_SHUNT, times 4 for ADCRANGE = 1."""
        fine = 4 if self.scale_v == self.FINE_SCALE_V else 1
        return round(13107.2e6 * self.current_lsb_a * self.shunt_ohm * fine)

    @property
    def power_lsb_w(self) -> float:
        """INA228 equation 5."""
        return 3.2 * self.current_lsb_a

    @property
    def energy_lsb_uj(self) -> float:
        """INA228 equation 6: 16 x 3.2 x CURRENT_LSB, in J there."""
        return 16 * self.power_lsb_w * 1e6

    def gain_maxima(self) -> tuple[float, ...]:
        # Energy, with the chip's own clock: 1 %.
        return 0.01, self.settings.shunt_tolerance

    def offset_mw(self, bus_v: float) -> float:
        # 1 uV across the shunt.
        return 1000 * 1e-6 / self.shunt_ohm * bus_v / _RECTANGULAR

    def resolution_mw(self, _bus_v: float, /) -> float:
        return 1000 * self.power_lsb_w

    def identify(self, bus: RegisterBus) -> str:
        maker, die = _unsigned(bus, 0x3E, 2), _unsigned(bus, 0x3F, 2)
        return "" if (maker, die >> 4) == (TI, 0x228) else f"{maker:#06x} {die:#06x}"

    @property
    def adc_config(self) -> int:
        average, conversion = self._adc_bits()
        return (
            self.CONTINUOUS_SHUNT_AND_BUS << 12
            | conversion << 9
            | conversion << 6
            | self.TEMPERATURE_CONVERSION << 3
            | average
        )

    @property
    def config(self) -> int:
        return self.FINE if self.scale_v == self.FINE_SCALE_V else 0

    def configure(self, bus: RegisterBus) -> None:
        bus.write(self.SHUNT_CAL, self.calibration.to_bytes(2, "big"))
        bus.write(self.ADC_CONFIG, self.adc_config.to_bytes(2, "big"))
        bus.write(self.CONFIG, (self.config | self.RESET_ACCUMULATORS).to_bytes(2, "big"))

    def has_settings(self, bus: RegisterBus) -> bool:
        return (
            _unsigned(bus, self.CONFIG, 2) & ~self.RESET_ACCUMULATORS == self.config
            and _unsigned(bus, self.ADC_CONFIG, 2) == self.adc_config
            and _unsigned(bus, self.SHUNT_CAL, 2) == self.calibration
        )

    def bus_v(self, bus: RegisterBus) -> float:
        # 20 bits; the lowest four of the 24 are always 0.
        return self.BUS_LSB_V * (_unsigned(bus, self.BUS, 3) >> 4)

    def power_mw(self, bus: RegisterBus) -> float:
        current = _signed(bus, self.CURRENT, 3) >> 4
        if abs(current) >= 2**19 - 1:
            raise Overrange
        # The power register has no sign, as the energy register has none.
        return 1000 * self.power_lsb_w * _unsigned(bus, self.POWER, 3)

    def energy_raw(self, bus: RegisterBus) -> int:
        return _unsigned(bus, self.ENERGY, 5)


CHIPS: dict[str, type[Chip]] = {chip.NAME: chip for chip in (Ina226, Ina228, Ina260)}


def _unsigned(bus: RegisterBus, register: int, length: int) -> int:
    return int.from_bytes(bus.read(register, length), "big")


def _signed(bus: RegisterBus, register: int, length: int) -> int:
    return int.from_bytes(bus.read(register, length), "big", signed=True)
