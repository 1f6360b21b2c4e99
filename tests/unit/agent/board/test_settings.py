"""What a board is set to: boost, power mode, swap, supply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edgemeter_agent.board import boost, power_mode, supply, swap
from edgemeter_agent.board.root import BoardRoot, Reading

Plant = Callable[[dict[str, str]], BoardRoot]
CPU = "sys/devices/system/cpu"
MODES = (
    "# < POWER_MODEL ID=9 NAME=NOT_THIS >\n< PM_CONFIG DEFAULT=1 >\n< POWER_MODEL ID=0 NAME=15W >\nX 1\n"
    "< POWER_MODEL ID=1 NAME=25W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n< POWER_MODEL ID=3 NAME=7W >\n"
)
GPU = "sys/class/devfreq/17000000.gpu"


@pytest.mark.parametrize(
    ("files", "value"),
    [
        ({f"{CPU}/intel_pstate/no_turbo": "0\n"}, True),
        ({f"{CPU}/intel_pstate/no_turbo": "1\n"}, False),
        ({f"{CPU}/cpufreq/boost": "1\n"}, True),
        ({f"{CPU}/cpufreq/boost": "0\n"}, False),
        # one cluster of two is enough
        ({f"{CPU}/cpufreq/policy0/boost": "0\n", f"{CPU}/cpufreq/policy4/boost": "1\n"}, True),
        ({f"{CPU}/cpufreq/policy0/boost": "0\n"}, False),
        ({}, None),
    ],
)
def test_boost(plant: Plant, files: dict[str, str], value: bool | None) -> None:
    board = plant(files)
    assert boost.boost(board).value is value
    assert boost.boost(board).detail
    for path, text in boost.switches(board, on=False).items():
        board.write(path, text)
    assert boost.boost(board).value is (None if value is None else False)


@pytest.mark.parametrize(
    ("files", "value"),
    [
        ({"var/lib/nvpmodel/status": "pmode:0002\n", "etc/nvpmodel.conf": MODES}, "MAXN_SUPER"),
        ({"var/lib/nvpmodel/status": "pmode:0000\n", "etc/nvpmodel.conf": MODES}, "15W"),
        # a mode that the file does not name
        ({"var/lib/nvpmodel/status": "pmode:0007\n", "etc/nvpmodel.conf": MODES}, "7"),
        ({"var/lib/nvpmodel/status": "pmode:0001\n"}, "1"),
        # jetson_clocks: every minimum is its maximum
        (
            {
                "var/lib/nvpmodel/status": "pmode:0002\n",
                "etc/nvpmodel.conf": MODES,
                f"{CPU}/cpufreq/policy0/scaling_min_freq": "1728000",
                f"{CPU}/cpufreq/policy0/scaling_max_freq": "1728000",
                f"{GPU}/min_freq": "1020000000",
                f"{GPU}/max_freq": "1020000000",
            },
            "MAXN_SUPER+jetson_clocks",
        ),
        # undone for the GPU
        (
            {
                "var/lib/nvpmodel/status": "pmode:0002\n",
                "etc/nvpmodel.conf": MODES,
                f"{CPU}/cpufreq/policy0/scaling_min_freq": "1728000",
                f"{CPU}/cpufreq/policy0/scaling_max_freq": "1728000",
                f"{GPU}/min_freq": "306000000",
                f"{GPU}/max_freq": "1020000000",
            },
            "MAXN_SUPER",
        ),
        ({"var/lib/nvpmodel/status": "rubbish"}, None),
        ({}, None),
    ],
)
def test_power_mode(plant: Plant, files: dict[str, str], value: str | None) -> None:
    assert power_mode.power_mode(plant(files)).value == value


@pytest.mark.parametrize(
    ("program", "value"),
    [
        ("#!/bin/sh\nprintf 'NVPM WARN: fan mode is not set!\\nNV Power Mode: 25W\\n1\\n'\n", "25W"),
        ("#!/bin/sh\necho who knows\n", None),
        ("#!/bin/sh\nexit 1\n", None),
    ],
)
def test_where_nothing_is_written_down_the_program_is_asked(
    plant: Plant, program: str, value: str | None
) -> None:
    board = plant({"bin/nvpmodel": program})
    assert power_mode.power_mode(board).value is None
    assert power_mode.asked_power_mode(board).value == value


@pytest.mark.parametrize(
    ("configuration", "fastest"),
    [
        (MODES, (2, "MAXN_SUPER")),
        # not the highest number, nor the lowest: the most watts
        ("< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=7W >\n", (0, "15W")),
        ("< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=3 NAME=50W >\n", (0, "MAXN")),
        ("", None),
    ],
)
def test_the_fastest_mode(configuration: str, fastest: tuple[int, str] | None) -> None:
    assert power_mode.fastest_mode(configuration) == fastest


def test_swap(plant: Plant) -> None:
    board = plant(
        {
            "proc/meminfo": "MemTotal: 8000000 kB\nSwapCached: 9 kB\nSwapTotal: 100 kB\nSwapFree: 40 kB\n",
            "proc/vmstat": "pgpgin 5\npswpin 7\npswpout 11\nthp_swpout 99\n",
            "proc/swaps": "Filename Type Size Used Prio\n/dev/zram0 partition 9 6 9\n/var/swap file 5 0 -2\n",
        }
    )
    assert swap.used_bytes(board).value == 60 * 1024
    assert swap.swapped_pages(board).value == 18
    assert swap.devices(board) == ["/dev/zram0", "/var/swap"]


def test_no_swap_says_why(plant: Plant) -> None:
    bare = plant({})
    assert "/proc/meminfo: no such file" in swap.used_bytes(bare).detail
    assert "/proc/vmstat: no such file" in swap.swapped_pages(bare).detail
    assert swap.devices(bare) == []
    without = plant({"proc/meminfo": "MemTotal: 1 kB\n", "proc/vmstat": "nr_free_pages 1\n"})
    assert "kernel without swap" in swap.used_bytes(without).detail
    assert "kernel without swap" in swap.swapped_pages(without).detail


PMIC = "#!/bin/sh\n[ \"$2\" = EXT5V_V ] && echo '     EXT5V_V volt(24)=4.87894000V'\n"


def test_supply_of_a_pi5(plant: Plant) -> None:
    board = plant({"bin/vcgencmd": PMIC})
    promised = board.path("proc/device-tree/chosen/power/max_current")
    promised.parent.mkdir(parents=True)
    promised.write_bytes((3000).to_bytes(4, "big"))
    assert supply.max_ma(board).value == 3000
    assert supply.input_mv(board).value == 4879


@pytest.mark.parametrize(
    ("files", "read", "detail"),
    [
        ({}, supply.max_ma, "not a Raspberry Pi 5"),
        ({"proc/device-tree/chosen/power/max_current": "too long"}, supply.max_ma, "8 bytes, not 4"),
        ({}, supply.input_mv, "not a Raspberry Pi"),
        ({"bin/vcgencmd": "#!/bin/sh\necho error=1\n"}, supply.input_mv, "not a Raspberry Pi 5"),
        ({"bin/vcgencmd": "#!/bin/sh\nexit 1\n"}, supply.input_mv, "exit code 1"),
    ],
)
def test_no_supply_says_why(
    plant: Plant, files: dict[str, str], read: Callable[[BoardRoot], Reading[Any]], detail: str
) -> None:
    reading = read(plant(files))
    assert reading.value is None
    assert detail in reading.detail
