"""The registers of the INA228, which counts energy. See ina_chip for the source."""

from __future__ import annotations

from edgemeter_agent.meters.i2c_bus import RegisterBus
from edgemeter_agent.meters.ina_chip import RECTANGULAR, TI, Chip, Overrange, signed, unsigned


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
        return 1000 * 1e-6 / self.shunt_ohm * bus_v / RECTANGULAR

    def resolution_mw(self, _bus_v: float, /) -> float:
        return 1000 * self.power_lsb_w

    def identify(self, bus: RegisterBus) -> str:
        maker, die = unsigned(bus, 0x3E, 2), unsigned(bus, 0x3F, 2)
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
            unsigned(bus, self.CONFIG, 2) & ~self.RESET_ACCUMULATORS == self.config
            and unsigned(bus, self.ADC_CONFIG, 2) == self.adc_config
            and unsigned(bus, self.SHUNT_CAL, 2) == self.calibration
        )

    def bus_v(self, bus: RegisterBus) -> float:
        # 20 bits; the lowest four of the 24 are always 0.
        return self.BUS_LSB_V * (unsigned(bus, self.BUS, 3) >> 4)

    def power_mw(self, bus: RegisterBus) -> float:
        current = signed(bus, self.CURRENT, 3) >> 4
        if abs(current) >= 2**19 - 1:
            raise Overrange
        # The power register has no sign, as the energy register has none.
        return 1000 * self.power_lsb_w * unsigned(bus, self.POWER, 3)

    def energy_raw(self, bus: RegisterBus) -> int:
        return unsigned(bus, self.ENERGY, 5)
