"""The registers of the INA226 and INA260, which have 16 bits. See ina_chip for the sources."""

from __future__ import annotations

from edgemeter_agent.meters.i2c_bus import RegisterBus
from edgemeter_agent.meters.ina_chip import RECTANGULAR, TI, Chip, Overrange, signed, unsigned


class Sixteen(Chip):
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
        maker, die = unsigned(bus, 0xFE, 2), unsigned(bus, self.DIE_ID, 2)
        # The last four bits are the revision.
        return "" if (maker, die >> 4) == (TI, self.DIE >> 4) else f"{maker:#06x} {die:#06x}"

    @property
    def config(self) -> int:
        average, conversion = self._adc_bits()
        return self.FIXED_BITS | average << 9 | conversion << 6 | conversion << 3 | self.CONTINUOUS

    def configure(self, bus: RegisterBus) -> None:
        bus.write(self.CONFIG, self.config.to_bytes(2, "big"))

    def has_settings(self, bus: RegisterBus) -> bool:
        return unsigned(bus, self.CONFIG, 2) == self.config

    def bus_v(self, bus: RegisterBus) -> float:
        return self.BUS_LSB_V * unsigned(bus, self.BUS, 2)

    def power_mw(self, bus: RegisterBus) -> float:
        raw = signed(bus, self.CURRENT, 2)
        if abs(raw) >= 0x7FFF:
            raise Overrange
        return 1000 * raw * self.current_lsb_a * self.bus_v(bus)

    def resolution_mw(self, bus_v: float, /) -> float:
        return 1000 * self.current_lsb_a * bus_v


class Ina226(Sixteen):
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
        return 1000 * 10e-6 / self.shunt_ohm * bus_v / RECTANGULAR

    def configure(self, bus: RegisterBus) -> None:
        super().configure(bus)
        bus.write(self.CALIBRATION, self.calibration.to_bytes(2, "big"))

    def has_settings(self, bus: RegisterBus) -> bool:
        # Without a calibration it reports a current of 0.
        return super().has_settings(bus) and unsigned(bus, self.CALIBRATION, 2) == self.calibration


class Ina260(Sixteen):
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
        return 1000 * 5e-3 * bus_v / RECTANGULAR
