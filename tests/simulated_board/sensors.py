"""Power sensors as boards have them: each turns true power into the files that its driver shows.

Paths are relative to the board's root; values are what sysfs would hold, with the last newline.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

Files = Mapping[str, str]


class Sensor(Protocol):
    def advance(self, power_mw: float, elapsed_ns: int) -> Files:
        """What its files hold after `elapsed_ns` of that power."""


def to_step(value: float, step: float) -> int:
    return round(round(value / step) * step)


@dataclass(kw_only=True)
class Ina3221:
    """Jetson's, behind hwmon: out += (new - out) / samples, so a first-order lag; shunt steps of 40 uV, bus
    steps of 8 mV.

    Attributes:
        lag_s: 0.43 as L4T's boot script sets it; 0 for a chip that does not average.
        gain: of what it shows over what is true.
        noise_mw: of one conversion, before the lag.
    """

    chip: str
    lag_s: float = 0.43
    gain: float = 1.0
    noise_mw: float = 0.0
    volt_mv: float = 5016.0
    shunt_uohm: int = 5000
    soc_mw: float = 1500.0
    cpu_share: float = 0.8
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    _filtered_mw: float | None = None

    def advance(self, power_mw: float, elapsed_ns: int) -> Files:
        seen = power_mw * self.gain + (self.random.normal(0, self.noise_mw) if self.noise_mw else 0.0)
        if self._filtered_mw is None or self.lag_s == 0:
            self._filtered_mw = seen
        else:
            self._filtered_mw += (seen - self._filtered_mw) * -math.expm1(-elapsed_ns / 1e9 / self.lag_s)
        rest = max(self._filtered_mw - self.soc_mw, 0.0)
        files: dict[str, str] = {}
        for channel, rail_mw in enumerate((self._filtered_mw, self.cpu_share * rest, self.soc_mw), 1):
            step_ma = 40_000 / self.shunt_uohm
            current_ma = to_step(rail_mw / self.volt_mv * 1000, step_ma)
            files[f"{self.chip}/in{channel}_input"] = f"{to_step(self.volt_mv, 8)}\n"
            files[f"{self.chip}/curr{channel}_input"] = f"{current_ma}\n"
            files[f"{self.chip}/in{channel + 3}_input"] = f"{current_ma * self.shunt_uohm // 1000}\n"
        return files


@dataclass(kw_only=True)
class Ina219:
    """On the kernel's ina2xx driver: no averaging, current in steps of 10 uV over the shunt."""

    chip: str
    gain: float = 1.0
    noise_mw: float = 20.0
    volt_mv: float = 5100.0
    shunt_uohm: int = 100_000
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def advance(self, power_mw: float, elapsed_ns: int) -> Files:
        seen = power_mw * self.gain + self.random.normal(0, self.noise_mw)
        bus_mv = to_step(self.volt_mv, 4)
        current_ma = to_step(seen / bus_mv * 1000, 10_000 / self.shunt_uohm)
        # The power register counts in 20 steps of the current, times 1 V.
        power_step_uw = 20 * 10_000 / self.shunt_uohm * 1000
        return {
            f"{self.chip}/in0_input": f"{round(current_ma * self.shunt_uohm / 1e6)}\n",
            f"{self.chip}/in1_input": f"{bus_mv}\n",
            f"{self.chip}/curr1_input": f"{current_ma}\n",
            f"{self.chip}/power1_input": f"{to_step(bus_mv * current_ma, power_step_uw)}\n",
        }


@dataclass(kw_only=True)
class Rapl:
    """A counter of 2^-14 J that is published about every millisecond, and starts again at 0."""

    zone: str
    gain: float = 1.0
    range_uj: int = 262_143_328_850
    counted_uj: float = 262_143_000_000.0

    def advance(self, power_mw: float, elapsed_ns: int) -> Files:
        self.counted_uj += power_mw * self.gain * elapsed_ns * 1e-6
        shown = int(self.counted_uj / 61.04) * 61.04
        return {f"{self.zone}/energy_uj": f"{int(shown) % self.range_uj}\n"}


PMIC_RAILS = (
    # Name, current and voltage channel, volt, share of the total; a real Pi 5's, idle.
    ("3V7_WL_SW", 0, 8, 3.606, 0.12),
    ("3V3_SYS", 1, 9, 3.319, 0.14),
    ("1V8_SYS", 2, 10, 1.797, 0.09),
    ("DDR_VDD2", 3, 11, 1.108, 0.04),
    ("DDR_VDDQ", 4, 12, 0.605, 0.01),
    ("1V1_SYS", 5, 13, 1.102, 0.07),
    ("0V8_SW", 6, 14, 0.801, 0.11),
    ("VDD_CORE", 7, 15, 0.887, 0.38),
    ("3V3_DAC", 17, 20, 3.315, 0.0),
    ("3V3_ADC", 18, 21, 3.317, 0.01),
    ("0V8_AON", 16, 19, 0.799, 0.01),
    ("HDMI", 22, 23, 4.904, 0.02),
)


@dataclass(kw_only=True)
class Pmic:
    """Raspberry Pi 5's power controller, as `vcgencmd pmic_read_adc` prints it. Single readings waver."""

    path: str
    gain: float = 1.0
    noise: float = 0.02
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def advance(self, power_mw: float, elapsed_ns: int) -> Files:
        currents, voltages = [], []
        wavers = 1 + self.random.normal(0, self.noise, len(PMIC_RAILS))
        for (name, current, voltage, volt, share), waver in zip(PMIC_RAILS, wavers, strict=True):
            ampere = max(share * power_mw * self.gain * waver / 1000 / volt, 0.0)
            currents.append(f"{name + '_A':>12} current({current})={ampere:.8f}A")
            voltages.append(f"{name + '_V':>12} volt({voltage})={volt:.8f}V")
        voltages += ["     EXT5V_V volt(24)=4.87894000V", "      BATT_V volt(25)=2.50512600V"]
        return {self.path: "\n".join([*currents, *voltages]) + "\n"}
