"""Temperature and throttling."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgemeter_agent.board import thermal, throttling
from edgemeter_agent.board.root import BoardRoot

Plant = Callable[[dict[str, str]], BoardRoot]
FIRMWARE = "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"


def test_pi5_temperature(pi5: BoardRoot) -> None:
    assert thermal.temperature_millicelsius(pi5).value == 52350


def test_orin_temperature_is_the_processors_and_gated_zones_are_left_out(orin_nano: BoardRoot) -> None:
    reading = thermal.temperature_millicelsius(orin_nano)
    assert (reading.value, reading.detail) == (48468, "thermal zone cpu-thermal")


def test_jetson_nanos_fixed_hundred_degrees_are_no_temperature(jetson_nano: BoardRoot) -> None:
    assert thermal.temperature_millicelsius(jetson_nano).value == 34000


def test_without_a_zone_of_the_processor_the_hottest_counts(plant: Plant) -> None:
    board = plant(
        {
            "sys/class/thermal/thermal_zone0/type": "acpitz\n",
            "sys/class/thermal/thermal_zone0/temp": "27800\n",
            "sys/class/thermal/thermal_zone1/type": "pch\n",
            "sys/class/thermal/thermal_zone1/temp": "45000\n",
        }
    )
    assert thermal.temperature_millicelsius(board).value == 45000


@pytest.mark.parametrize(
    ("files", "detail"),
    [
        ({}, "shows no temperature"),
        ({"sys/class/thermal/thermal_zone0/type": "cpu-thermal"}, "none of 1 thermal zones is readable"),
    ],
)
def test_no_temperature_says_why(plant: Plant, files: dict[str, str], detail: str) -> None:
    reading = thermal.temperature_millicelsius(plant(files))
    assert reading.value is None
    assert detail in reading.detail


@pytest.mark.parametrize(
    ("files", "bits"),
    [
        # vcgencmd; sticky bits and under-voltage now
        ({"bin/vcgencmd": "#!/bin/sh\necho throttled=0x50005\n"}, 0x50005),
        # the firmware driver's file, hexadecimal without a prefix
        ({FIRMWARE: "50005\n"}, 0x50005),
        ({FIRMWARE: "0\n"}, 0),
        # an unreadable file does not hide vcgencmd
        ({FIRMWARE: "?\n", "bin/vcgencmd": "#!/bin/sh\necho throttled=0x2\n"}, 2),
    ],
)
def test_raspberry_pis_bits(plant: Plant, files: dict[str, str], bits: int) -> None:
    assert throttling.throttled_bits(plant(files)).value == bits


@pytest.mark.parametrize(
    ("files", "detail"),
    [
        ({}, "not a Raspberry Pi"),
        ({"bin/vcgencmd": "#!/bin/sh\necho VCHI initialization failed >&2; exit 255\n"}, "group video"),
        ({"bin/vcgencmd": "#!/bin/sh\necho error=1\n"}, "answered 'error=1'"),
        ({"bin/vcgencmd": "#!/bin/sh\necho throttled=maybe\n"}, "answered 'throttled=maybe'"),
    ],
)
def test_no_bits_says_why(plant: Plant, files: dict[str, str], detail: str) -> None:
    reading = throttling.throttled_bits(plant(files))
    assert reading.value is None
    assert detail in reading.detail


def test_orin_counts_oc1_and_oc2_and_not_the_expected_oc3(orin_nano: BoardRoot) -> None:
    assert throttling.throttle_events(orin_nano).value == 5


def test_no_counters_says_why(pi5: BoardRoot) -> None:
    reading = throttling.throttle_events(pi5)
    assert (reading.value, reading.detail) == (None, "no soctherm_oc in hwmon: not a Jetson")
