"""Meters as models: what each would have read of a power curve, its own errors drawn anew for every run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edgemeter_agent.energy.trace import Trace
from edgemeter_agent.energy.uncertainty import LAG_ERROR
from edgemeter_agent.meters import BOARD, MODULE, PACKAGE, WALL, Description, Rail, ina3221, rapl
from edgemeter_agent.meters.rails import WITHOUT_DATASHEET, rectangular, root_sum_of_squares
from tests.simulated_board.curves import BEGIN_NS, SECOND_NS, Curve, Numbers, first_order

Stamps = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Model:
    """Attributes:
    observe: from a curve whose power has the run's gain and zero error already.
    idle_range_mw, load_range_mw: of boards that carry such a meter.
    query_range_ns: of the models that they run.
    alignment_ns: standard uncertainty of its clock against the board's; 0 for one on the board.
    """

    description: Description
    observe: Callable[[Curve, Description, np.random.Generator], Trace]
    idle_range_mw: tuple[float, float]
    load_range_mw: tuple[float, float]
    step_ns: int = 2_000_000
    query_range_ns: tuple[float, float] = (500_000, 300_000_000)
    alignment_ns: float = 0.0

    @property
    def name(self) -> str:
        return self.description.name


def observe(model: Model, curve: Curve, random: np.random.Generator) -> Trace:
    """With a gain and a zero drawn from what the meter states of itself."""
    meter = model.description
    gain = random.normal(1, meter.gain_error)
    zero_mw = random.normal(0, meter.offset_error_mw)
    trace = model.observe(replace(curve, power_mw=curve.power_mw * gain + zero_mw), meter, random)
    off_ns = round(random.normal(0, model.alignment_ns)) if model.alignment_ns else 0
    return replace(trace, monotonic_ns=trace.monotonic_ns + off_ns)


def reading_times(curve: Curve, rate_hz: float, random: np.random.Generator) -> Stamps:
    """A steady pace, as far as a busy board keeps one."""
    period_ns = SECOND_NS / rate_hz
    count = int(curve.power_mw.size * curve.step_ns / period_ns) - 1
    late_ns = np.minimum(random.exponential(0.02 * period_ns, count), 0.5 * period_ns)
    times: Stamps = (BEGIN_NS + random.uniform(0, period_ns) + np.arange(count) * period_ns + late_ns).astype(
        np.int64
    )
    return times


def _at(curve: Curve, values: Numbers, times: Stamps) -> Numbers:
    return values[np.clip((times - BEGIN_NS) // curve.step_ns, 0, values.size - 1)]


def _trace(times: Stamps, total: Numbers, counter: Numbers | None = None) -> Trace:
    return Trace(
        monotonic_ns=times,
        total_mw=total,
        rails_mw=total[:, None].copy(),
        counter_uj=np.zeros(0) if counter is None else counter,
    )


def _ina3221(curve: Curve, meter: Description, random: np.random.Generator) -> Trace:
    """Noise of half a step a conversion, the chip's filter, current and voltage rounded."""
    step_s = curve.step_ns / SECOND_NS
    noisy = curve.power_mw + random.normal(0, 0.5 * meter.resolution_mw, curve.power_mw.size)
    lag_s = meter.lag_s * random.normal(1, LAG_ERROR)
    shown = first_order(noisy, step_s, lag_s)
    times = reading_times(curve, meter.rate_hz, random)
    power = _at(curve, shown, times)
    # The supply gives way under load by some milliohm.
    volt_mv = 5100 - 0.03 * power / 5.0
    step_ma = meter.resolution_mw / 5.0
    current_ma = np.round(power / volt_mv * 1000 / step_ma) * step_ma
    return _trace(times, current_ma * np.round(volt_mv / 8) * 8 / 1000)


def _agx_orin(curve: Curve, meter: Description, random: np.random.Generator) -> Trace:
    """Three rails at the supply's 19 V and over 2 milliohm: steps of 380 mW each."""
    step_mw = ina3221.step_mw(2000, 19.0)
    times = reading_times(curve, meter.rate_hz, random)
    rails = []
    for share in (0.45, 0.3, 0.25):
        noisy = share * curve.power_mw + random.normal(0, 0.5 * step_mw, curve.power_mw.size)
        shown = first_order(noisy, curve.step_ns / SECOND_NS, meter.lag_s)
        rails.append(np.round(_at(curve, shown, times) / step_mw) * step_mw)
    return replace(_trace(times, np.sum(rails, axis=0)), rails_mw=np.stack(rails, axis=1))


def _rounding(noise_share: float) -> Callable[[Curve, Description, np.random.Generator], Trace]:
    """A meter that shows what is at the moment, with white noise, and rounds it."""

    def read(curve: Curve, meter: Description, random: np.random.Generator) -> Trace:
        times = reading_times(curve, meter.rate_hz, random)
        power = _at(curve, curve.power_mw, times)
        power = power * (1 + random.normal(0, noise_share, power.size))
        return _trace(times, np.round(power / meter.resolution_mw) * meter.resolution_mw)

    return read


def _plug(curve: Curve, meter: Description, random: np.random.Generator) -> Trace:
    """Means over each second of its own clock, published at the second's end, and fetched at any time."""
    a_second = SECOND_NS // curve.step_ns
    begin = int(random.integers(a_second))
    whole = (curve.power_mw.size - begin) // a_second
    means = curve.power_mw[begin : begin + whole * a_second].reshape(whole, a_second).mean(axis=1)
    times = reading_times(curve, meter.rate_hz, random)
    second = ((times - BEGIN_NS) // curve.step_ns - begin) // a_second - 1
    power = means[np.clip(second, 0, whole - 1)]
    return _trace(times, np.round(power / meter.resolution_mw) * meter.resolution_mw)


def _counter(curve: Curve, meter: Description, random: np.random.Generator) -> Trace:
    """Counts in steps of 61 uJ, published about every millisecond."""
    counted = np.concatenate(([0.0], np.cumsum(curve.power_mw))) * curve.step_ns * 1e-6
    grid = np.arange(counted.size) * float(curve.step_ns)
    times = reading_times(curve, meter.rate_hz, random)
    published = (times - BEGIN_NS) - random.uniform(0, 1e6, times.size)
    shown = np.floor(np.interp(published, grid, counted) / rapl.UNIT_UJ) * rapl.UNIT_UJ
    power = np.diff(shown) / np.diff(times) * 1e6
    return _trace(times[1:], power, shown[1:])


def _describe(name: str, coverage: str, **numbers: float) -> Description:
    usual = {"rate_hz": 50.0, "resolution_mw": 1.0, "gain_error": 0.0, "offset_error_mw": 0.0, "lag_s": 0.0}
    return Description(
        name=name,
        kind=name,
        coverage=coverage,
        rails=(Rail(name="total", in_total=True),),
        has_counter=name == "rapl",
        detail="a model",
        **{**usual, **numbers},
    )


def _three_rails(description: Description) -> Description:
    return replace(
        description, rails=tuple(Rail(name=f"rail {number}", in_total=True) for number in range(3))
    )


_NO_DATASHEET = rectangular(WITHOUT_DATASHEET)
_JETSON = {
    "resolution_mw": ina3221.step_mw(5000, 5.0),
    "gain_error": ina3221.GAIN_ERROR,
    "offset_error_mw": ina3221.offset_error_mw(5000, 5.0),
}

MODELS = (
    Model(
        description=_describe("ina3221", MODULE, rate_hz=ina3221.rate_hz(0.43), lag_s=0.43, **_JETSON),
        observe=_ina3221,
        idle_range_mw=(4000, 7000),
        load_range_mw=(4000, 18000),
    ),
    Model(
        # A language model: longer than the meter takes to settle.
        description=_describe(
            "ina3221, slow model", MODULE, rate_hz=ina3221.rate_hz(0.43), lag_s=0.43, **_JETSON
        ),
        observe=_ina3221,
        idle_range_mw=(4000, 7000),
        load_range_mw=(4000, 18000),
        query_range_ns=(5e9, 20e9),
    ),
    Model(
        description=_three_rails(
            _describe(
                "ina3221, AGX Orin",
                MODULE,
                rate_hz=ina3221.rate_hz(0.43),
                lag_s=0.43,
                resolution_mw=root_sum_of_squares([ina3221.step_mw(2000, 19.0)] * 3),
                gain_error=ina3221.GAIN_ERROR,
                offset_error_mw=0,
            )
        ),
        observe=_agx_orin,
        idle_range_mw=(8000, 12000),
        load_range_mw=(10000, 45000),
    ),
    Model(
        description=_describe("ina3221 samples=1", MODULE, rate_hz=ina3221.rate_hz(0), **_JETSON),
        observe=_ina3221,
        idle_range_mw=(4000, 7000),
        load_range_mw=(4000, 18000),
    ),
    Model(
        # Chip 0.1 %, resistor 1 % at most; 16 bits.
        description=_describe(
            "ina238",
            BOARD,
            resolution_mw=25,
            gain_error=math.hypot(0.001, 0.01) / math.sqrt(3),
            offset_error_mw=15,
        ),
        observe=_rounding(0.003),
        idle_range_mw=(20000, 35000),
        load_range_mw=(10000, 80000),
    ),
    Model(
        description=_describe("pmic", "rails", rate_hz=10, resolution_mw=2, gain_error=_NO_DATASHEET),
        observe=_rounding(0.03),
        idle_range_mw=(2200, 3500),
        load_range_mw=(1500, 7000),
    ),
    Model(
        description=_describe("rapl", PACKAGE, rate_hz=rapl.RATE_HZ, gain_error=rapl.GAIN_ERROR),
        observe=_counter,
        idle_range_mw=(2000, 10000),
        load_range_mw=(5000, 60000),
        step_ns=1_000_000,
    ),
    Model(
        description=_describe(
            "plug", WALL, rate_hz=1, resolution_mw=100, gain_error=0.01 / math.sqrt(3), offset_error_mw=20
        ),
        observe=_plug,
        idle_range_mw=(4000, 12000),
        load_range_mw=(4000, 40000),
        step_ns=10_000_000,
    ),
    Model(
        description=_describe("exec", BOARD, rate_hz=1000, gain_error=0.001, offset_error_mw=1),
        observe=_rounding(0.01),
        idle_range_mw=(2000, 8000),
        load_range_mw=(1000, 20000),
        step_ns=1_000_000,
    ),
    Model(
        # Beside the board, at a host over a poor network.
        description=_describe(
            "remote ina226", BOARD, rate_hz=100, resolution_mw=5, gain_error=0.0058, offset_error_mw=5
        ),
        observe=_rounding(0.005),
        idle_range_mw=(2000, 8000),
        load_range_mw=(1000, 20000),
        alignment_ns=20e6,
    ),
)
"""The errors are those that the meters' own files state."""
