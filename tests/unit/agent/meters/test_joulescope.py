from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from threading import Event, Timer
from typing import Any

import numpy as np
import pytest

from edgemeter_agent.meters import MeterError
from edgemeter_agent.meters.joulescope import JoulescopeMeter, chosen_device, reading_of
from edgemeter_agent.meters.sample_clock import MAX_DRIFT, SampleClock
from edgemeter_agent.meters.spec import open_spec, parse

MS = 1_000_000


def message(
    end: int, watts: float, joules: float, rate: int = 1_000_000, block: int = 100_000
) -> dict[str, Any]:
    """With the fields that the driver's Python binding makes of jsdrv_statistics_s."""
    return {
        "time": {
            "samples": {"value": [end - block, end], "units": "samples"},
            "sample_freq": {"value": rate, "units": "Hz"},
            "range": {"value": [(end - block) / rate, end / rate], "units": "s"},
            "delta": {"value": block / rate, "units": "s"},
            "decimate_factor": {"value": 1, "units": "samples"},
            "decimate_sample_count": {"value": block, "units": "samples"},
            "accum_samples": {"value": [0, end], "units": "samples"},
        },
        "signals": {
            "current": {"avg": {"value": watts / 5, "units": "A"}, "std": {"value": 0.0, "units": "A"}},
            "voltage": {"avg": {"value": 5.0, "units": "V"}, "std": {"value": 0.0, "units": "V"}},
            "power": {"avg": {"value": watts, "units": "W"}, "std": {"value": 0.0, "units": "W"}},
        },
        "accumulators": {
            "charge": {"value": joules / 5, "int_value": 0, "int_scale": 2**-31, "units": "C"},
            "energy": {"value": joules, "int_value": 0, "int_scale": 2**-27, "units": "J"},
        },
        "source": "sensor",
    }


def test_a_message_is_a_reading_at_the_end_of_its_block() -> None:
    clock = SampleClock()
    reading = reading_of(message(5_000_000, 4.25, 21.5), 77_000 * MS, clock)
    assert (reading.monotonic_ns, reading.total_mw, reading.counter_uj) == (77_000 * MS, 4250.0, 21.5e6)
    # 100 ms later by its samples; the message took 3 ms longer, which is no time of the load's
    reading = reading_of(message(5_100_000, 4.0, 21.9), 77_103 * MS, clock)
    assert 0 <= reading.monotonic_ns - 77_100 * MS <= 103 * MS * MAX_DRIFT


def test_a_day_of_samples_keeps_its_nanoseconds() -> None:
    clock = SampleClock()
    end = 2_000_000 * 86_400 * 30 + 1
    reading = reading_of(message(end, 1.0, 1e6, rate=2_000_000), end * 500 + 42, clock)
    assert reading.monotonic_ns == end * 500 + 42


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_number_is_a_gap(value: float) -> None:
    reading = reading_of(message(1_000_000, value, 1.0), 1000 * MS, SampleClock())
    assert (reading.total_mw, reading.fault) == (None, "no_data")


@pytest.mark.parametrize(
    "rubbish",
    [
        None,
        {},
        {"time": 1},
        {**message(1, 1, 1), "signals": {"power": {"avg": {"value": "x", "units": "W"}}}},
        {**message(1, 1, 1), "accumulators": {"energy": {"value": 1.0, "units": "Wh"}}},
        {**message(1, 1, 1), "time": {"samples": {"value": [0]}}},
        {**message(1, 1, 1), "time": {"samples": {"value": [0, 1]}, "sample_freq": {"value": 0}}},
    ],
)
def test_what_is_no_statistics_is_refused(rubbish: Any) -> None:
    with pytest.raises(ValueError, match="no statistics"):
        reading_of(rubbish, 0, SampleClock())


@pytest.mark.parametrize("drift", [-80e-6, 0.0, 80e-6])
def test_the_sample_clock_follows_the_quickest_messages(drift: float) -> None:
    """An hour of messages that take 1 to 30 ms each, over a crystal that drifts."""
    random = np.random.default_rng(4)
    clock = SampleClock()
    worst_ns = 0.0
    for number in range(36_000):
        true_ns = number * 100 * MS
        sample_ns = round(true_ns * (1 + drift)) + 123_456
        arrival_ns = true_ns + round(random.uniform(1, 30) * MS)
        found_ns = clock.to_monotonic_ns(sample_ns, arrival_ns)
        if number > 100:
            worst_ns = max(worst_ns, abs(found_ns - true_ns))
    # 1 ms of delay that no message goes without, and what is let go between two quick ones
    assert worst_ns < 6 * MS


@pytest.mark.parametrize(
    ("paths", "serial", "chosen"),
    [
        (["u/js220/000123"], "", "u/js220/000123"),
        (["u/js110/000001", "u/js220/000123"], "000123", "u/js220/000123"),
        (["u/js220/00ab23"], "00AB23", "u/js220/00ab23"),
    ],
)
def test_a_device_is_chosen(paths: list[str], serial: str, chosen: str) -> None:
    assert chosen_device(paths, serial) == chosen


@pytest.mark.parametrize(
    ("paths", "serial", "says"),
    [
        ([], "", "no Joulescope is connected"),
        (["u/js220/000123"], "000124", "no Joulescope 000124 is connected; there are 000123"),
        (
            ["u/js220/000123", "u/js220/000124"],
            "",
            "say which Joulescope, as joulescope:SERIAL: 000123, 000124",
        ),
    ],
)
def test_no_device_is_chosen(paths: list[str], serial: str, says: str) -> None:
    with pytest.raises(MeterError) as refused:
        chosen_device(paths, serial)
    assert refused.value.code == "meter_unreachable"
    assert says in refused.value.detail


class Driver:
    """The part of pyjoulescope_driver.Driver that is used, with one instrument."""

    def __init__(self, path: str = "u/js220/000123") -> None:
        self.path = path
        self.published: dict[str, object] = {}
        self.subscribed: dict[str, Callable[[str, Any], None]] = {}
        self.calls: list[str] = []

    def device_paths(self) -> list[str]:
        return [self.path]

    def open(self, path: str) -> None:
        self.calls.append(f"open {path}")

    def publish(self, topic: str, value: object) -> None:
        self.published[topic] = value

    def subscribe(self, topic: str, flags: str, fn: Callable[[str, Any], None]) -> None:
        assert flags == "pub"
        self.subscribed[topic] = fn

    def unsubscribe_all(self, fn: object) -> None:
        self.subscribed = {topic: each for topic, each in self.subscribed.items() if each is not fn}

    def close(self, path: str) -> None:
        self.calls.append(f"close {path}")

    def finalize(self) -> None:
        self.calls.append("finalize")


def test_a_js220_is_started_read_and_ended() -> None:
    driver = Driver()
    meter = JoulescopeMeter(parse("joulescope:?rate_hz=20"), driver)
    assert driver.published["u/js220/000123/s/stats/scnt"] == 50_000
    assert driver.published["u/js220/000123/s/stats/ctrl"] == 1
    assert (meter.description.rate_hz, meter.description.has_counter) == (20.0, True)
    send = driver.subscribed["u/js220/000123/s/stats/value"]
    # The second sample count does not rise: a device that was reset.
    for number, end in enumerate((50_000, 40_000, 150_000, 200_000)):
        send("topic", message(end, 2.0, 0.1 * number))
    stop = Event()
    found = []
    for reading in meter.readings(stop):
        found.append(reading)
        if len(found) == 4:
            stop.set()
    assert [reading.fault for reading in found] == ["", "stamp_backwards", "", ""]
    assert [reading.counter_uj for reading in found] == [0.0, None, 2e5, pytest.approx(3e5)]
    meter.close()
    meter.close()
    assert driver.subscribed == {}
    assert driver.calls == ["open u/js220/000123", "close u/js220/000123", "finalize"]


def test_a_js110_sends_at_its_own_pace() -> None:
    driver = Driver("u/js110/000007")
    meter = JoulescopeMeter(parse("joulescope:000007?rate_hz=20"), driver)
    assert list(driver.subscribed) == ["u/js110/000007/s/sstats/value"]
    assert meter.description.rate_hz == 2.0


def test_an_unplugged_one_is_gone() -> None:
    meter = JoulescopeMeter(parse("joulescope:"), Driver(), silence_s=0.2)
    with pytest.raises(MeterError, match="is it unplugged") as ended:
        next(iter(meter.readings(Event())))
    assert ended.value.code == "meter_gone"


def test_rubbish_of_the_driver_ends_it() -> None:
    driver = Driver()
    meter = JoulescopeMeter(parse("joulescope:"), driver)
    Timer(0.01, driver.subscribed["u/js220/000123/s/stats/value"], ("topic", None)).start()
    with pytest.raises(MeterError) as ended:
        next(iter(meter.readings(Event())))
    assert ended.value.code == "meter_rubbish"


def test_the_real_driver_finds_no_device_or_is_asked_for() -> None:
    """pyjoulescope_driver is an extra; with it, this machine has no Joulescope."""
    says = "pip install 'edgemeter-agent[joulescope]'"
    if importlib.util.find_spec("pyjoulescope_driver") is not None:
        says = "no Joulescope"
    with pytest.raises(MeterError) as refused:
        open_spec("joulescope:")
    assert refused.value.code == "meter_unreachable"
    assert says in refused.value.detail
