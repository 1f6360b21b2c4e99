"""The chip itself: its lag, steps and errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_agent.meters import ina3221


@pytest.mark.parametrize(
    ("samples", "interval_ms", "channels", "lag_s"),
    [
        # L4T's boot script: 512 x 3 x 2 x 140 us; the mainline driver shows the product
        (512, 430, 3, 0.430),
        # NVIDIA's driver leaves the samples out: one round of 0.84 ms, shown as 1
        (512, 1, 3, 0.43008),
        # after reset: 1 sample of 1.1 + 1.1 ms on three channels, 6.6 ms
        (1, 7, 3, 0.007),
        # an old driver without update_interval: the reset's conversion time
        (None, None, 3, 0.0066),
        (64, None, 3, 0.4224),
        # two channels off: a third
        (512, 143, 1, 0.143),
        (512, 0, 1, 0.14336),
        # one round of 8.244 ms, three channels, samples left out
        (512, 49, 3, 25.325568),
        # the mainline driver with the slowest settings
        (1024, 50651, 3, 50.651),
    ],
)
def test_lag_is_samples_times_conversion_time(
    samples: int | None, interval_ms: int | None, channels: int, lag_s: float
) -> None:
    assert ina3221.lag_s(samples, interval_ms, channels) == pytest.approx(lag_s, rel=1e-6)


@given(
    samples=st.sampled_from((1, 4, 16, 64, 128, 256, 512, 1024)),
    time_us=st.sampled_from(ina3221.CONVERSION_TIMES_US),
    channels=st.integers(1, 3),
)
def test_lag_of_every_setting_of_the_mainline_driver(samples: int, time_us: int, channels: int) -> None:
    """Within the driver's rounding to 1 ms."""
    truth_s = samples * channels * 2 * time_us / 1e6
    shown_ms = int(truth_s * 1000 + 0.5)
    assert ina3221.lag_s(samples, shown_ms, channels) == pytest.approx(truth_s, abs=0.00051)


def test_steps_and_errors_by_shunt() -> None:
    assert ina3221.step_mw(5000, 5) == pytest.approx(40)
    assert ina3221.step_mw(2000, 19) == pytest.approx(380)
    # 80 uV over 5 mOhm are 16 mA; over sqrt(3), at 5 V
    assert ina3221.offset_error_mw(5000, 5) == pytest.approx(46.19, abs=0.01)
    # two gains of at most 0.25 % and a resistor of 1 %
    assert pytest.approx(0.006124, abs=1e-6) == ina3221.GAIN_ERROR


@pytest.mark.parametrize(("lag_s", "rate_hz"), [(0.43, 23.26), (0.0066, 100), (0, 100), (5, 20)])
def test_rate_follows_the_lag(lag_s: float, rate_hz: float) -> None:
    assert ina3221.rate_hz(lag_s) == pytest.approx(rate_hz, abs=0.01)


def test_a_driver_that_waits_in_each_read_sets_the_pace() -> None:
    # six files of 6.6 ms are 40 ms
    assert ina3221.rate_hz(0.0066, waiting_reads=6) == pytest.approx(20.2, abs=0.01)
    assert ina3221.rate_hz(0.43, waiting_reads=6) == pytest.approx(0.31, abs=0.01)
    assert ina3221.rate_hz(0.0001, waiting_reads=6) == 100
