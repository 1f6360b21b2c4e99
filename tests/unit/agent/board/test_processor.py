from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edgemeter_agent.board import processor
from edgemeter_agent.board.root import BoardRoot, Reading

Plant = Callable[[dict[str, str]], BoardRoot]
CPUFREQ = "sys/devices/system/cpu/cpufreq"


def test_pi5_frequency_is_what_the_governor_asked_for(pi5: BoardRoot) -> None:
    reading = processor.frequency_hz(pi5)
    assert (reading.value, reading.detail) == (1_500_000_000, "cpufreq scaling_cur_freq")


def test_what_the_hardware_says_comes_first(orin_nano: BoardRoot) -> None:
    reading = processor.frequency_hz(orin_nano)
    assert (reading.value, reading.detail) == (1_510_000_000, "cpufreq cpuinfo_cur_freq")


def test_frequency_is_that_of_the_processor_that_the_process_ran_on(plant: Plant) -> None:
    board = plant(
        {
            f"{CPUFREQ}/policy0/scaling_cur_freq": "1800000\n",
            f"{CPUFREQ}/policy0/affected_cpus": "0 1 2 3\n",
            f"{CPUFREQ}/policy4/scaling_cur_freq": "600000\n",
            f"{CPUFREQ}/policy4/affected_cpus": "4 5\n",
            # field 39 is 5; the name holds a bracket and a blank
            "proc/self/stat": "7 (my) proc) R " + " ".join(["0"] * 35) + " 5 0 0\n",
        }
    )
    assert processor.frequency_hz(board).value == 600_000_000


def test_processor_times_sum_what_is_busy(pi5: BoardRoot) -> None:
    tick = processor.tick_ns()
    times = processor.times(pi5).value
    assert times is not None
    # user 1000, nice 20, system 300, irq 7, softirq 3; neither idle nor waiting for I/O
    assert times.busy_ns == 1330 * tick
    assert times.steal_ns == 40 * tick


def test_pressure_load_and_waiting(pi5: BoardRoot) -> None:
    assert processor.pressure_some_us(pi5).value == 123456
    assert processor.load_average(pi5).value == 0.42
    # both threads
    assert processor.run_delay_ns(pi5).value == 300_000


def test_governors_of_clusters_that_differ_are_all_named(plant: Plant) -> None:
    board = plant(
        {
            f"{CPUFREQ}/policy0/scaling_governor": "schedutil\n",
            f"{CPUFREQ}/policy4/scaling_governor": "performance\n",
        }
    )
    assert processor.governor(board).value == "performance+schedutil"


@pytest.mark.parametrize(
    ("files", "read", "detail"),
    [
        # a virtual machine without cpufreq
        ({}, processor.frequency_hz, "does not show processor clocks"),
        # a policy whose clock can't be read
        ({f"{CPUFREQ}/policy0/related_cpus": "0"}, processor.frequency_hz, "neither cpuinfo_cur_freq nor"),
        ({}, processor.governor, "scaling_governor"),
        ({}, processor.times, "/proc/stat: no such file"),
        ({"proc/stat": ""}, processor.times, "/proc/stat is empty"),
        ({"proc/stat": "cpu 1 2 three"}, processor.times, "/proc/stat: invalid literal"),
        # a foreign first line
        ({"proc/stat": "cpu0 1 2 3 4 5 6 7"}, processor.times, "not the processors' sum"),
        # a kernel without PSI
        ({}, processor.pressure_some_us, "psi=1 needed"),
        ({"proc/pressure/cpu": "full avg10=0.00 total=1"}, processor.pressure_some_us, "no line 'some'"),
        ({}, processor.run_delay_ns, "kernel without scheduler statistics"),
        ({"proc/self/task/1/schedstat": "7"}, processor.run_delay_ns, "fewer than two numbers"),
        ({}, processor.load_average, "/proc/loadavg: no such file"),
        ({"proc/loadavg": "\n"}, processor.load_average, "/proc/loadavg is empty"),
    ],
)
def test_what_cannot_be_read_says_why(
    plant: Plant, files: dict[str, str], read: Callable[[BoardRoot], Reading[Any]], detail: str
) -> None:
    reading = read(plant(files))
    assert reading.value is None
    assert detail in reading.detail


def test_every_policys_clock_and_what_the_hardware_says_where_it_can(plant: Plant) -> None:
    board = plant(
        {
            f"{CPUFREQ}/policy0/scaling_cur_freq": "1800000\n",
            f"{CPUFREQ}/policy0/cpuinfo_cur_freq": "1500000\n",
            f"{CPUFREQ}/policy4/scaling_cur_freq": "2400000\n",
        }
    )
    reading = processor.clocks_hz(board)
    assert reading.value == {"policy0": 1_500_000_000, "policy4": 2_400_000_000}
    assert reading.detail == "cpufreq cpuinfo_cur_freq"


STAT = "cpu  60 0 6 900 0 0 0 6 0 0\ncpu0 10 0 1 300 0 0 0 1 0 0\ncpu1 20 0 2 300 0 0 0 2 0 0\n"
STAT += "cpu10 30 0 3 300 0 0 0 3 0 0\nintr 1 2 3\n"


@pytest.mark.parametrize(
    ("cpus", "busy", "steal"), [((), 66, 6), ((1,), 22, 2), ((10, 0), 44, 4), ((0, 1, 10), 66, 6)]
)
def test_times_of_some_processors(plant: Plant, cpus: tuple[int, ...], busy: int, steal: int) -> None:
    times = processor.times(plant({"proc/stat": STAT}), cpus).value
    assert times is not None
    assert (times.busy_ns, times.steal_ns) == (busy * processor.tick_ns(), steal * processor.tick_ns())


def test_a_processor_that_is_not_there_has_no_times(plant: Plant) -> None:
    reading = processor.times(plant({"proc/stat": STAT}), (0, 7))
    assert (reading.value, reading.detail) == (None, "/proc/stat has no line cpu7")


def test_each_threads_waiting(pi5: BoardRoot) -> None:
    assert processor.run_delays_ns(pi5).value == {11: 250_000, 12: 50_000}
