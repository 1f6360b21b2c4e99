"""What TI's power monitors on I2C have in common; a file for each family has its registers.

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

RECTANGULAR = math.sqrt(3)
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
        return math.hypot(*self.gain_maxima()) / RECTANGULAR

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


def unsigned(bus: RegisterBus, register: int, length: int) -> int:
    """Raises OSError."""
    return int.from_bytes(bus.read(register, length), "big")


def signed(bus: RegisterBus, register: int, length: int) -> int:
    """Two's complement. Raises OSError."""
    return int.from_bytes(bus.read(register, length), "big", signed=True)
