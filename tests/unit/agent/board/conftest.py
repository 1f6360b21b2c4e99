"""Trees that look like boards, with the paths and values that the boards show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from edgemeter_agent.board.root import BoardRoot

Plant = Callable[[Mapping[str, str]], BoardRoot]

STAT = "cpu  1000 20 300 90000 50 7 3 40 0 0\ncpu0 500 10 150 45000 25 4 1 20 0 0\n"
COMMON = {
    "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    "proc/stat": STAT,
    "proc/loadavg": "0.42 0.30 0.20 1/123 4567\n",
    "proc/pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=123456\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "proc/meminfo": "MemTotal:        8052000 kB\nMemFree:  100 kB\nMemAvailable:    6000000 kB\n",
    "proc/self/task/11/schedstat": "1000000 250000 3\n",
    "proc/self/task/12/schedstat": "500000 50000 1\n",
}
CPUFREQ = "sys/devices/system/cpu/cpufreq"


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Makes a tree of files from a mapping of paths to contents."""

    def make(files: Mapping[str, str]) -> BoardRoot:
        for path, content in files.items():
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
            if path.startswith("bin/"):
                target.chmod(0o755)
        return BoardRoot(tmp_path)

    return make


@pytest.fixture
def pi5(plant: Plant) -> BoardRoot:
    return plant(
        {
            **COMMON,
            "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
            "proc/device-tree/compatible": "raspberrypi,5-model-b\0brcm,bcm2712\0",
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
            "sys/class/thermal/thermal_zone0/temp": "52350\n",
            f"{CPUFREQ}/policy0/scaling_cur_freq": "1500000\n",
            f"{CPUFREQ}/policy0/cpuinfo_max_freq": "2400000\n",
            f"{CPUFREQ}/policy0/affected_cpus": "0 1 2 3\n",
            f"{CPUFREQ}/policy0/scaling_governor": "ondemand\n",
            f"{CPUFREQ}/policy0/scaling_available_governors": "conservative ondemand performance \n",
            "bin/vcgencmd": '#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x0\n',
        }
    )


@pytest.fixture
def orin_nano(plant: Plant) -> BoardRoot:
    zones = {
        "cpu": 48468,
        "gpu": 48562,
        "cv0": None,
        "cv1": None,
        "cv2": None,
        "soc0": 48062,
        "soc1": 49156,
        "soc2": 47531,
        "tj": 49156,
    }
    files = {
        **COMMON,
        "proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
        "proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005-super\0nvidia,tegra234\0",
        "etc/os-release": 'PRETTY_NAME="Ubuntu 22.04.5 LTS"\n',
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic,"
        " EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025\n",
        "sys/class/hwmon/hwmon0/name": "pwmfan\n",
        "sys/class/hwmon/hwmon3/name": "soctherm_oc\n",
        "sys/class/hwmon/hwmon3/oc1_event_cnt": "1\n",
        "sys/class/hwmon/hwmon3/oc2_event_cnt": "4\n",
        "sys/class/hwmon/hwmon3/oc3_event_cnt": "200\n",
    }
    for number, (kind, temperature) in enumerate(zones.items()):
        files[f"sys/class/thermal/thermal_zone{number}/type"] = f"{kind}-thermal\n"
        # A gated unit answers EAGAIN, which no plain file does; an empty one is unreadable as well.
        files[f"sys/class/thermal/thermal_zone{number}/temp"] = (
            "" if temperature is None else f"{temperature}\n"
        )
    for policy in (0, 4):
        files[f"{CPUFREQ}/policy{policy}/scaling_cur_freq"] = "1728000\n"
        files[f"{CPUFREQ}/policy{policy}/cpuinfo_cur_freq"] = "1510000\n"
        files[f"{CPUFREQ}/policy{policy}/scaling_governor"] = "schedutil\n"
    return plant(files)


@pytest.fixture
def jetson_nano(plant: Plant) -> BoardRoot:
    zones = {
        "AO-therm": 41500,
        "CPU-therm": 34000,
        "GPU-therm": 31000,
        "PLL-therm": 31500,
        "PMIC-Die": 100000,
        "thermal-fan-est": 33000,
    }
    files = {
        "proc/device-tree/model": "NVIDIA Jetson Nano Developer Kit\0",
        "etc/nv_tegra_release": "# R32 (release), REVISION: 7.1, GCID: 1, BOARD: t210ref\n",
    }
    for number, (kind, temperature) in enumerate(zones.items()):
        files[f"sys/class/thermal/thermal_zone{number}/type"] = f"{kind}\n"
        files[f"sys/class/thermal/thermal_zone{number}/temp"] = f"{temperature}\n"
    return plant(files)
