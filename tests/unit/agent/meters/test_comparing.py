"""Reading meters at the same time."""

from __future__ import annotations

import math
import random

import pytest

from edgemeter_agent.meters import MeterError, Reading
from edgemeter_agent.meters.calibration import CalibrationError
from edgemeter_agent.meters.comparing import mean_of, means_of, point_of, settling_s
from tests.unit.agent.meters.simulated_meter import SimulatedMeter

PERIOD_NS = 10_000_000


def readings(*powers_mw: float | None) -> list[Reading]:
    return [
        Reading(monotonic_ns=index * PERIOD_NS, total_mw=power, fault="" if power is not None else "EIO")
        for index, power in enumerate(powers_mw)
    ]


def test_the_mean_and_its_uncertainty() -> None:
    mean = mean_of(readings(100, None, 102, 104, 102), SimulatedMeter(resolution_mw=1.2).description)
    assert mean.power_mw == 102
    # stdev sqrt(8/3) over sqrt(4), and a step of 1.2 mW
    assert mean.uncertainty_mw == pytest.approx(math.hypot(math.sqrt(8 / 3) / 2, 1.2 / math.sqrt(12)))


def test_readings_behind_a_lag_are_not_independent() -> None:
    powers = [100.0, 102.0] * 50
    free = mean_of(readings(*powers), SimulatedMeter(resolution_mw=0).description)
    # 0.99 s over twice 0.0495 s: 10 of 100
    lagging = mean_of(readings(*powers), SimulatedMeter(resolution_mw=0, lag_s=0.0495).description)
    assert lagging.uncertainty_mw == pytest.approx(free.uncertainty_mw * math.sqrt(10))


def test_the_rule_for_lags_is_that_of_filtered_noise() -> None:
    """Simulated: the spread of means of first-order noise, against what is stated of one of them."""
    random_numbers = random.Random(3)
    lag_s, period_s = 0.1, PERIOD_NS / 1e9
    keep = math.exp(-period_s / lag_s)
    means, stated = [], []
    for _ in range(300):
        power, powers = random_numbers.gauss(0, 10), []
        for _ in range(1000):
            power = keep * power + math.sqrt(1 - keep**2) * random_numbers.gauss(0, 10)
            powers.append(power)
        mean = mean_of(readings(*powers), SimulatedMeter(resolution_mw=0, lag_s=lag_s).description)
        means.append(mean.power_mw)
        stated.append(mean.uncertainty_mw)
    spread = math.sqrt(sum(mean**2 for mean in means) / len(means))
    assert sum(stated) / len(stated) == pytest.approx(spread, rel=0.15)


@pytest.mark.parametrize(("powers", "said"), [((), "none came"), ((5.0, None, 5.0), "EIO")])
def test_too_few_readings(powers: tuple[float | None, ...], said: str) -> None:
    with pytest.raises(CalibrationError, match=said):
        mean_of(readings(*powers), SimulatedMeter().description)


def test_both_meters_are_read_at_once() -> None:
    low, high = means_of([SimulatedMeter("a"), SimulatedMeter("b", power_mw=lambda: 5500.0)], 0.1)
    assert (low.power_mw, high.power_mw) == (5000, 5500)
    point = point_of(low, high)
    assert (point.read_mw, point.reference_mw) == (5000, 5500)
    assert point.uncertainty_mw == pytest.approx(math.hypot(low.uncertainty_mw, high.uncertainty_mw))


def test_a_meter_that_goes_away_ends_it_at_once() -> None:
    gone = SimulatedMeter("b", power_mw=lambda: MeterError("meter_gone", "unplugged"))
    with pytest.raises(MeterError, match="unplugged"):
        means_of([SimulatedMeter("a"), gone], 600)


def test_waiting_for_the_load_to_settle() -> None:
    assert settling_s(SimulatedMeter(lag_s=0.4).description, SimulatedMeter().description) == 4
