"""INA226, INA228 and INA260 as registers over a true voltage and current: what the datasheets say that they
do.

Written from the datasheets' register maps, not from the code under test: conversions run on the chip's own
clock, results appear at the end of an averaged cycle, and nothing is converted to watts but by the registers'
rules.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

STEP_NS = 100_000


class SimulatedIna:
    """A RegisterBus. The circuit is `volts(t_ns)` and `amps(t_ns)`; time goes on with `advance`."""

    def __init__(
        self,
        part: str,
        volts: Callable[[int], float],
        amps: Callable[[int], float],
        shunt_ohm: float = 0.01,
        clock_error: float = 0.0,
    ) -> None:
        self.part = part
        self.volts, self.amps = volts, amps
        self.shunt_ohm = 0.002 if part == "ina260" else shunt_ohm
        self.clock_error = clock_error
        self.now_ns = 0
        self.true_uj = 0.0
        self.present = True
        self.closed = False
        self.power_up()

    def power_up(self) -> None:
        """Registers as after the supply came back."""
        if self.part == "ina228":
            self.registers = {0x00: 0, 0x01: 0xFB68, 0x02: 0x1000, 0x3E: 0x5449, 0x3F: 0x2281}
            self.registers |= {0x04: 0, 0x05: 0, 0x07: 0, 0x08: 0, 0x09: 0}
        else:
            config, die = (0x4127, 0x2260) if self.part == "ina226" else (0x6127, 0x2270)
            self.registers = {0x00: config, 0xFE: 0x5449, 0xFF: die, 0x05: 0}
            self.registers |= dict.fromkeys((0x01, 0x02, 0x03, 0x04), 0)
        self._energy_remainder = 0.0
        self._sums = [0.0, 0.0, 0]
        self._cycle_ns = 0.0

    # The bus

    def read(self, register: int, length: int) -> bytes:
        self._answer()
        value = self.registers[register]
        return (value % (1 << 8 * length)).to_bytes(length, "big")

    def write(self, register: int, value: bytes) -> None:
        self._answer()
        written = int.from_bytes(value, "big")
        if self.part == "ina228" and register == 0x00 and written & 1 << 14:
            self.registers[0x09] = 0
            written &= ~(1 << 14)
        self.registers[register] = written

    def close(self) -> None:
        self.closed = True

    def _answer(self) -> None:
        if not self.present:
            raise OSError(errno.EREMOTEIO, "Remote I/O error")

    # Time

    def advance(self, ns: int) -> None:
        end_ns = self.now_ns + ns
        while self.now_ns < end_ns:
            step_ns = min(STEP_NS, end_ns - self.now_ns)
            volts, amps = self.volts(self.now_ns), self.amps(self.now_ns)
            self.true_uj += volts * amps * step_ns / 1e3
            self.now_ns += step_ns
            self._convert(volts, amps, step_ns * (1 + self.clock_error))

    def _convert(self, volts: float, amps: float, chip_ns: float) -> None:
        self._sums[0] += volts * chip_ns
        self._sums[1] += amps * chip_ns
        self._cycle_ns += chip_ns
        if self._cycle_ns >= self.cycle_ns():
            self._publish(
                self._sums[0] / self._cycle_ns, self._sums[1] / self._cycle_ns, self._cycle_ns / 1e9
            )
            self._sums, self._cycle_ns = [0.0, 0.0, 0], 0.0

    def cycle_ns(self) -> float:
        average = (1, 4, 16, 64, 128, 256, 512, 1024)
        if self.part == "ina228":
            adc = self.registers[0x01]
            # B: shunt and bus, without a pause. F, after power-up: and temperature.
            assert adc >> 12 in (0xB, 0xF)
            times_us = (50, 84, 150, 280, 540, 1052, 2074, 4120)
            temperature_us = times_us[adc >> 3 & 7] if adc >> 12 == 0xF else 0
            return 1e3 * average[adc & 7] * (times_us[adc >> 9 & 7] + times_us[adc >> 6 & 7] + temperature_us)
        config = self.registers[0x00]
        assert config & 7 == 7, "continuous shunt and bus conversions"
        times_us = (140, 204, 332, 588, 1100, 2116, 4156, 8244)
        return 1e3 * average[config >> 9 & 7] * (times_us[config >> 6 & 7] + times_us[config >> 3 & 7])

    def _publish(self, volts: float, amps: float, seconds: float) -> None:
        registers = self.registers
        if self.part == "ina228":
            fine = bool(registers[0x00] & 1 << 4)
            shunt = clamp(round(amps * self.shunt_ohm / (78.125e-9 if fine else 312.5e-9)), 20)
            registers[0x04] = shunt << 4
            bus = round(volts / 195.3125e-6)
            registers[0x05] = bus << 4
            # SHUNT_CAL scales the shunt register to the current register; 4096 leaves it as it is, in both
            # ranges.
            current = clamp(shunt * registers[0x02] // 4096, 20)
            registers[0x07] = current << 4
            # 3.2 CURRENT_LSB a step of power; the current register's LSB cancels out.
            power = abs(current) * bus * 195.3125e-6 / 3.2
            registers[0x08] = min(round(power), 2**24 - 1)
            self._energy_remainder += power * seconds / 16
            whole = int(self._energy_remainder)
            self._energy_remainder -= whole
            registers[0x09] = (registers[0x09] + whole) % 2**40
            return
        registers[0x02] = min(round(volts / 1.25e-3), 0x7FFF)
        if self.part == "ina260":
            registers[0x01] = clamp(round(amps / 1.25e-3), 16)
            return
        shunt = clamp(round(amps * self.shunt_ohm / 2.5e-6), 16)
        registers[0x01] = shunt
        registers[0x04] = clamp(shunt * registers[0x05] // 2048, 16)


def clamp(value: int, bits: int) -> int:
    return max(-(1 << bits - 1), min(value, (1 << bits - 1) - 1))
