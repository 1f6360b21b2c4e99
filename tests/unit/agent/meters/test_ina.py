from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemeter_agent.meters import MeterError, Reading
from edgemeter_agent.meters.ina228 import Ina228
from edgemeter_agent.meters.ina_chip import Chip
from edgemeter_agent.meters.ina_i2c import CHIPS, InaMeter, chip_of
from edgemeter_agent.meters.spec import parse
from tests.unit.agent.meters.simulated_ina import SimulatedIna

SECOND_NS = 1_000_000_000
FAST = "average=1&conversion_us=588"
FAST_228 = "average=1&conversion_us=540"


def text_of(part: str, options: str = "") -> str:
    shunt = "" if part == "ina260" else "shunt_mohm=10"
    fast = FAST_228 if part == "ina228" else FAST
    return f"{part}:1:0x40?" + "&".join(filter(None, (shunt, options or fast)))


def opened(simulated: SimulatedIna, options: str = "") -> InaMeter:
    spec = parse(text_of(simulated.part, options))
    chip = chip_of(spec)

    class Bus:
        """The chip converts while its registers are read."""

        def read(self, register: int, length: int) -> bytes:
            simulated.advance(50_000)
            return simulated.read(register, length)

        def write(self, register: int, value: bytes) -> None:
            simulated.write(register, value)

        def close(self) -> None:
            simulated.close()

    return InaMeter(
        spec,
        chip,
        Bus(),
        clock_ns=lambda: simulated.now_ns,
        sleep=lambda s: simulated.advance(round(s * 1e9)),
    )


@pytest.mark.parametrize("part", list(CHIPS))
@pytest.mark.parametrize(("volts", "amps"), [(5.1, 1.234), (19.0, 2.0), (3.3, 0.0), (5.0, 0.011)])
def test_power_is_what_flows(part: str, volts: float, amps: float) -> None:
    meter = opened(SimulatedIna(part, lambda _: volts, lambda _: amps))
    reading = meter.read()
    assert reading.total_mw is not None
    # One step of the current, and of the voltage.
    assert reading.total_mw == pytest.approx(
        1000 * volts * amps, abs=meter.description.resolution_mw + 1.3 * amps, rel=1e-4
    )


@pytest.mark.parametrize("part", ["ina226", "ina260"])
def test_a_current_back_into_the_supply_is_negative(part: str) -> None:
    reading = opened(SimulatedIna(part, lambda _: 5.0, lambda _: -0.5)).read()
    assert reading.total_mw == pytest.approx(-2500, rel=5e-3)


@given(
    shunt_mohm=st.floats(0.5, 500),
    share=st.floats(0.001, 0.99),
    part=st.sampled_from(["ina226", "ina228"]),
    fine=st.booleans(),
)
@settings(deadline=None, max_examples=50)
def test_any_shunt_and_range(shunt_mohm: float, share: float, part: str, fine: bool) -> None:
    chip_type = CHIPS[part]
    full_a = (0.04096 if fine and part == "ina228" else chip_type.FULL_SCALE_V) / shunt_mohm * 1000
    amps = share * full_a
    simulated = SimulatedIna(part, lambda _: 5.0, lambda _: amps, shunt_ohm=shunt_mohm / 1000)
    spec = parse(f"{part}:1:0x40?shunt_mohm={shunt_mohm!r}&range_a={full_a * 0.9999!r}")
    chip = chip_of(spec)
    chip.configure(simulated)
    simulated.advance(round(1.5e9 * chip.period_s))
    lsb_mw = chip.resolution_mw(5.0)
    assert chip.power_mw(simulated) == pytest.approx(5000 * amps, abs=1.01 * lsb_mw, rel=1e-4)
    assert chip.has_settings(simulated)


def test_the_documented_registers_of_an_example() -> None:
    """INA226 section 8.2.2: 2 mOhm; configuration 4527h is 16 averages of 1.1 ms. With 16 it reads 0x4527."""
    chip = chip_of(parse("ina226:1:0x40?shunt_mohm=2"))
    simulated = SimulatedIna("ina226", lambda _: 12.0, lambda _: 10.0, shunt_ohm=0.002)
    chip.configure(simulated)
    assert simulated.registers[0x00] == 0x4527
    assert simulated.registers[0x05] == 2048
    assert chip.current_lsb_a == pytest.approx(0.00125)
    assert chip.period_s == pytest.approx(0.0352)


def test_the_energy_register_of_an_ina228() -> None:
    """A load that steps and ramps: what was counted between two readings is what flowed."""

    def amps(t_ns: int) -> float:
        phase = t_ns % 300_000_000
        return 0.4 + (1.5 if phase < 100_000_000 else phase / 1e9)

    simulated = SimulatedIna("ina228", lambda _: 5.1, amps)
    meter = opened(simulated)
    assert meter.description.has_counter
    first = meter.read()
    true_first = simulated.true_uj
    for _ in range(200):
        simulated.advance(20_000_000)
        last = meter.read()
    assert first.counter_uj is not None
    assert last.counter_uj is not None
    counted = last.counter_uj - first.counter_uj
    # Both readings may be one cycle of 1 ms behind.
    assert counted == pytest.approx(simulated.true_uj - true_first, rel=2e-3)
    # The mean power over the window, from stamps: within the same.
    seconds = (last.monotonic_ns - first.monotonic_ns) / 1e9
    assert counted / seconds / 1000 == pytest.approx(
        (simulated.true_uj - true_first) / seconds / 1000, rel=2e-3
    )


def test_the_energy_register_wraps() -> None:
    simulated = SimulatedIna("ina228", lambda _: 5.0, lambda _: 2.0)
    meter = opened(simulated)
    simulated.registers[0x09] = 2**40 - 3
    before = meter.read()
    simulated.advance(SECOND_NS // 2)
    after = meter.read()
    assert simulated.registers[0x09] < 2**39
    assert before.counter_uj is not None
    assert after.counter_uj is not None
    assert after.counter_uj - before.counter_uj == pytest.approx(5e6, rel=5e-3)


@pytest.mark.parametrize("part", list(CHIPS))
def test_a_chip_that_lost_its_settings_ends_the_measurement(part: str) -> None:
    simulated = SimulatedIna(part, lambda _: 5.0, lambda _: 1.0)
    meter = opened(simulated)
    meter.read()
    registers = simulated.registers.copy()
    simulated.power_up()
    # What the chip's own reset leaves is not what the meter wrote.
    assert simulated.registers != registers

    def read_on() -> None:
        for _ in range(3):
            simulated.now_ns += SECOND_NS
            meter.read()

    with pytest.raises(MeterError) as ended:
        read_on()
    assert ended.value.code == "meter_gone"
    assert "lost its settings" in ended.value.detail


def test_over_range_is_no_number() -> None:
    amps = [1.0]
    simulated = SimulatedIna("ina226", lambda _: 5.0, lambda _: amps[0])
    meter = opened(simulated)
    assert meter.read().total_mw is not None
    amps[0] = 9.0  # 90 mV over 10 mOhm
    simulated.advance(10_000_000)
    assert meter.read() == Reading(monotonic_ns=simulated.now_ns - 50_000, total_mw=None, fault="over_range")


def test_one_failed_transfer_is_a_gap_and_ten_seconds_of_them_the_end() -> None:
    simulated = SimulatedIna("ina260", lambda _: 5.0, lambda _: 1.0)
    meter = opened(simulated)
    simulated.present = False
    assert meter.read().fault == "EREMOTEIO"
    simulated.present = True
    assert meter.read().total_mw == pytest.approx(5000, rel=0.01)
    simulated.present = False
    meter.read()
    simulated.now_ns += 9 * SECOND_NS
    meter.read()
    simulated.now_ns += 2 * SECOND_NS
    with pytest.raises(MeterError) as ended:
        meter.read()
    assert (ended.value.code, "remote i/o error" in ended.value.detail) == ("meter_gone", True)


def test_another_chip_is_not_written_to() -> None:
    simulated = SimulatedIna("ina226", lambda _: 5.0, lambda _: 1.0)
    before = simulated.registers.copy()
    spec = parse(text_of("ina228"))
    # An INA226 has no register 3Eh; it answers with what its pointer stands at.
    simulated.registers |= {0x3E: 0x4127, 0x3F: 0x4127}
    with pytest.raises(MeterError, match="another chip is there"):
        InaMeter(spec, chip_of(spec), simulated)
    assert {register: simulated.registers[register] for register in before} == before
    assert simulated.closed


def test_nobody_at_the_address() -> None:
    simulated = SimulatedIna("ina226", lambda _: 5.0, lambda _: 1.0)
    simulated.present = False
    spec = parse(text_of("ina226"))
    with pytest.raises(MeterError, match="nothing answers at this address") as refused:
        InaMeter(spec, chip_of(spec), simulated)
    assert refused.value.code == "meter_unreachable"
    assert simulated.closed


@pytest.mark.parametrize("part", list(CHIPS))
def test_what_is_stated_of_it(part: str) -> None:
    said = opened(SimulatedIna(part, lambda _: 5.0, lambda _: 1.0), "average=64").description
    chip: Chip = chip_of(parse(text_of(part, "average=64")))
    assert said.rate_hz == pytest.approx(1 / (64 * 2 * chip.settings.conversion_us * 1e-6))
    expected = {
        # 0.1 % and 0.1 % and the shunt's 1 %, rectangular; 10 uV over 10 mOhm are 1 mA
        "ina226": (math.hypot(0.001, 0.001, 0.01), 5.0, 5 * 0.25),
        # energy 1 %, the shunt 1 %; 1 uV; 3.2 x 16.384 A / 2^19
        "ina228": (math.hypot(0.01, 0.01), 0.5, 3200 * 16.384 / 2**19),
        # 0.15 % and 0.1 %; 5 mA
        "ina260": (math.hypot(0.0015, 0.001), 25.0, 5 * 1.25),
    }[part]
    got = (said.gain_error * math.sqrt(3), said.offset_error_mw * math.sqrt(3), said.resolution_mw)
    assert got == pytest.approx(expected, rel=2e-3)
    assert said.has_counter is (part == "ina228")


def test_stamps_are_put_back_to_where_the_mean_is_of() -> None:
    """A step, read at every phase: the crossing of half its height is where the step was."""
    step_ns = 40_000_000
    crossings = []
    for phase_ns in range(0, 1_200_000, 100_000):
        simulated = SimulatedIna("ina226", lambda _: 5.0, lambda t: 0.0 if t < step_ns else 2.0)
        meter = opened(simulated)
        simulated.advance(step_ns - 8_000_000 - simulated.now_ns + phase_ns)
        points = []
        for _ in range(24):
            simulated.advance(600_000)
            reading = meter.read()
            assert reading.total_mw is not None
            points.append((reading.monotonic_ns, reading.total_mw))
        (t0, p0), (t1, p1) = next((a, b) for a, b in itertools.pairwise(points) if a[1] < 5000 <= b[1])
        crossings.append(t0 + (5000 - p0) / (p1 - p0) * (t1 - t0))
    mean_error_ns = sum(crossings) / len(crossings) - step_ns
    # A cycle has 1.176 ms; unshifted stamps would be late by that.
    assert abs(mean_error_ns) < 400_000


def test_the_finer_range_is_taken_where_it_is_enough() -> None:
    chips = [chip_of(parse(f"ina228:1:64?shunt_mohm=10&range_a={amps}")) for amps in ("4.09", "4.1")]
    assert [isinstance(chip, Ina228) and chip.config for chip in chips] == [0x0010, 0]
    assert [isinstance(chip, Ina228) and chip.calibration for chip in chips] == [4096, 4096]
