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


def test_every_readable_zone(orin_nano: BoardRoot) -> None:
    orin = thermal.zones_millicelsius(orin_nano).value
    assert orin is not None
    # cv0 to cv2 are gated
    assert sorted(orin) == [f"{kind}-thermal" for kind in ("cpu", "gpu", "soc0", "soc1", "soc2", "tj")]
    assert orin["tj-thermal"] == 49156


def test_of_zones_with_one_name_the_hottest(plant: Plant) -> None:
    files = {}
    for number, temperature in enumerate((40000, 45000, 43000)):
        files[f"sys/class/thermal/thermal_zone{number}/type"] = "acpitz\n"
        files[f"sys/class/thermal/thermal_zone{number}/temp"] = f"{temperature}\n"
    assert thermal.zones_millicelsius(plant(files)).value == {"acpitz": 45000}


def zone(number: int, kind: str, *trips: tuple[str, int]) -> dict[str, str]:
    folder = f"sys/class/thermal/thermal_zone{number}"
    files = {f"{folder}/type": f"{kind}\n", f"{folder}/temp": "40000\n"}
    for index, (trip, temperature) in enumerate(trips):
        files[f"{folder}/trip_point_{index}_type"] = f"{trip}\n"
        files[f"{folder}/trip_point_{index}_temp"] = f"{temperature}\n"
    return files


@pytest.mark.parametrize(
    ("files", "trips"),
    [
        # the lowest that slows down; a fan's does not
        (
            zone(0, "cpu-thermal", ("active", 51000), ("critical", 104500), ("passive", 99000)),
            {"cpu-thermal": 99000},
        ),
        # switched off, and made up
        (zone(0, "x86_pkg_temp", ("passive", 0), ("passive", -274000)), {}),
        (zone(0, "acpitz", ("critical", 20800), ("hot", 95000)), {"acpitz": 95000}),
        # two zones of one name
        (
            {**zone(0, "gpu-thermal", ("hot", 90000)), **zone(1, "gpu-thermal", ("hot", 85000))},
            {"gpu-thermal": 85000},
        ),
        # a Raspberry Pi's firmware slows down long before the only trip point
        (
            {
                **zone(0, "cpu-thermal", ("critical", 110000)),
                "proc/device-tree/compatible": "raspberrypi,5-model-b\0brcm,bcm2712\0",
            },
            {"cpu-thermal": 80000},
        ),
        ({}, {}),
    ],
)
def test_where_zones_slow_the_board_down(plant: Plant, files: dict[str, str], trips: dict[str, int]) -> None:
    assert thermal.trips_millicelsius(plant(files)) == trips


def test_oc3_is_counted_apart(orin_nano: BoardRoot) -> None:
    reading = throttling.current_events(orin_nano)
    assert (reading.value, reading.detail) == (200, "/sys/class/hwmon/hwmon3/oc3_event_cnt")
    assert throttling.throttle_events(orin_nano).detail == "/sys/class/hwmon/hwmon3/oc{1,2}_event_cnt"


@pytest.mark.parametrize(("alarm", "bits"), [("0", 0), ("1", 1), ("", None)])
def test_without_a_firmware_that_answers_the_kernels_alarm_tells_of_the_voltage(
    plant: Plant, alarm: str, bits: int | None
) -> None:
    chip = "sys/class/hwmon/hwmon2"
    board = plant({f"{chip}/name": "rpi_volt\n", f"{chip}/in0_lcrit_alarm": f"{alarm}\n"})
    assert throttling.throttled_bits(board).value == bits
