"""Jetson boards. Of each INA3221, in(N+3) is the shunt's voltage in uV: current times its resistor."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgemeter_agent.board.root import BoardRoot
from tests.boards.tree import Faults, plant

CPUFREQ = "sys/devices/system/cpu/cpufreq"


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One of INA3221's three. NC: wired to nothing, reads answer ENODATA."""

    label: str
    millivolt: int = 0
    milliampere: int = 0

    @property
    def on(self) -> bool:
        return self.label != "NC"


def ina3221(
    hwmon: int,
    device: str,
    channels: Sequence[Channel],
    *,
    shunt_uohm: int,
    samples: int = 512,
    update_interval_ms: int = 430,
) -> tuple[dict[str, str], dict[str, str], Faults]:
    """(files, links, failing reads) of a chip through hwmon; `device` is "1-0040"."""
    bus = device.partition("-")[0]
    home = f"sys/devices/platform/bus@0/c240000.i2c/i2c-{bus}/{device}"
    chip = f"{home}/hwmon/hwmon{hwmon}"
    shunt_uv = [channel.milliampere * shunt_uohm // 1000 for channel in channels]
    files = {
        f"{home}/name": "ina3221\n",
        f"{chip}/name": "ina3221\n",
        f"{chip}/samples": f"{samples}\n",
        f"{chip}/update_interval": f"{update_interval_ms}\n",
        f"{chip}/in7_label": "sum of shunt voltages\n",
        f"{chip}/in7_input": f"{sum(shunt_uv)}\n",
        f"{chip}/curr4_input": f"{sum(channel.milliampere for channel in channels)}\n",
        f"{chip}/curr4_crit_alarm": "0\n",
    }
    failing = Faults()
    for number, channel in enumerate(channels, 1):
        files |= {
            f"{chip}/in{number}_label": f"{channel.label}\n",
            f"{chip}/in{number}_enable": f"{int(channel.on)}\n",
            f"{chip}/in{number}_input": f"{channel.millivolt}\n",
            f"{chip}/in{number + 3}_input": f"{shunt_uv[number - 1]}\n",
            f"{chip}/curr{number}_input": f"{channel.milliampere}\n",
            f"{chip}/curr{number}_max": "4984\n",
            f"{chip}/curr{number}_crit": "4984\n",
            f"{chip}/curr{number}_max_alarm": "0\n",
            f"{chip}/curr{number}_crit_alarm": "0\n",
            f"{chip}/shunt{number}_resistor": f"{shunt_uohm}\n",
        }
        if not channel.on:
            for name in (f"in{number}_input", f"in{number + 3}_input", f"curr{number}_input"):
                failing[f"hwmon{hwmon}/{name}"] = errno.ENODATA
    links = {
        f"sys/bus/i2c/drivers/ina3221/{device}": home,
        f"sys/bus/i2c/devices/{device}": home,
        f"sys/class/hwmon/hwmon{hwmon}": chip,
    }
    return files, links, failing


def orin_nano_jp6(root: Path, *, update_interval_ms: int = 430) -> BoardRoot:
    """Orin Nano with JetPack 6.2: VDD_IN 9309.7 mW. Its gated units' thermal zones answer EAGAIN."""
    files, links, failing = ina3221(
        1,
        "1-0040",
        [
            Channel(label="VDD_IN", millivolt=5016, milliampere=1856),
            Channel(label="VDD_CPU_GPU_CV", millivolt=5016, milliampere=448),
            Channel(label="VDD_SOC", millivolt=5016, milliampere=480),
        ],
        shunt_uohm=5000,
        update_interval_ms=update_interval_ms,
    )
    files |= {
        "proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
        "proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3768-0000+p3767-0005\0"
        "nvidia,p3767-0005\0nvidia,tegra234\0",
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic,"
        " EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025\n",
        "sys/class/hwmon/hwmon0/name": "pwmfan\n",
        "sys/devices/platform/soctherm-oc-event/hwmon/hwmon3/name": "soctherm_oc\n",
        "sys/class/devfreq/17000000.gpu/governor": "nvhost_podgov\n",
        "sys/class/devfreq/17000000.gpu/device/load": "0\n",
        "var/lib/nvpmodel/status": "pmode:0002\n",
    }
    for name in ("cur_freq", "min_freq", "max_freq"):
        files[f"sys/class/devfreq/17000000.gpu/{name}"] = "1020000000\n"
    for number, count in ((1, 0), (2, 0), (3, 2)):
        files[f"sys/devices/platform/soctherm-oc-event/hwmon/hwmon3/oc{number}_event_cnt"] = f"{count}\n"
        files[f"sys/devices/platform/soctherm-oc-event/hwmon/hwmon3/oc{number}_throt_en"] = "1\n"
    zones = [("cpu", 48468), ("gpu", 48562), ("cv0", None), ("cv1", None), ("cv2", None)]
    zones += [("soc0", 48062), ("soc1", 49156), ("soc2", 47531), ("tj", 49156)]
    for number, (kind, millicelsius) in enumerate(zones):
        zone = f"sys/class/thermal/thermal_zone{number}"
        files[f"{zone}/type"] = f"{kind}-thermal\n"
        files[f"{zone}/temp"] = f"{millicelsius or 0}\n"
        if millicelsius is None:
            failing[f"thermal_zone{number}/temp"] = errno.EAGAIN
    for policy in (0, 4):
        for name in ("scaling_cur_freq", "scaling_min_freq", "scaling_max_freq", "cpuinfo_cur_freq"):
            files[f"{CPUFREQ}/policy{policy}/{name}"] = "1728000\n"
        files[f"{CPUFREQ}/policy{policy}/scaling_governor"] = "schedutil\n"
    plant(root, files, links)
    return BoardRoot(root, opener=failing)


AGX_ORIN_TOTAL_MW = (19000 * 240 + 19000 * 120 + 4992 * 900) / 1000


def agx_orin(root: Path, *, industrial: bool = False) -> BoardRoot:
    """AGX Orin: the three rails of 0x40 are the total. The industrial module has three rails of its carrier
    at 0x41 and an INA219 at 0x44."""
    beside = [
        Channel(label="NC"),
        Channel(label="VDDQ_VDD2_1V8AO", millivolt=4992, milliampere=400),
        Channel(label="NC"),
    ]
    if industrial:
        beside = [
            Channel(label="CVB_ATX_12V", millivolt=12000, milliampere=300),
            Channel(label="CVB_ATX_3V3", millivolt=3304, milliampere=200),
            Channel(label="CVB_ATX_5V", millivolt=4992, milliampere=100),
        ]
    chips = (
        ina3221(
            1,
            "1-0040",
            [
                Channel(label="VDD_GPU_SOC", millivolt=19000, milliampere=240),
                Channel(label="VDD_CPU_CV", millivolt=19000, milliampere=120),
                Channel(label="VIN_SYS_5V0", millivolt=4992, milliampere=900),
            ],
            shunt_uohm=2000,
        ),
        ina3221(2, "1-0041", beside, shunt_uohm=2000),
    )
    part = "p3701-0008" if industrial else "p3701-0000"
    failing = Faults()
    for files, links, failures in chips:
        plant(root, files, links)
        failing |= failures
    plant(
        root,
        {
            "proc/device-tree/model": "NVIDIA Jetson AGX Orin Developer Kit\0",
            "proc/device-tree/compatible": f"nvidia,p3737-0000+{part}\0nvidia,{part}\0nvidia,tegra234\0",
            "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic,"
            " EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025\n",
        },
    )
    if industrial:
        home = "sys/devices/platform/bus@0/c240000.i2c/i2c-1/1-0044"
        plant(
            root,
            {
                f"{home}/hwmon/hwmon5/name": "ina219\n",
                f"{home}/hwmon/hwmon5/in1_input": "12000\n",
                f"{home}/hwmon/hwmon5/curr1_input": "2000\n",
                f"{home}/hwmon/hwmon5/power1_input": "24000000\n",
                f"{home}/hwmon/hwmon5/shunt_resistor": "2000\n",
            },
            {"sys/class/hwmon/hwmon5": f"{home}/hwmon/hwmon5"},
        )
    return BoardRoot(root, opener=failing)


def xavier_nx(root: Path) -> BoardRoot:
    """Xavier NX with JetPack 5: VDD_IN 3923.2 mW."""
    files, links, failing = ina3221(
        0,
        "7-0040",
        [
            Channel(label="VDD_IN", millivolt=4904, milliampere=800),
            Channel(label="VDD_CPU_GPU_CV", millivolt=4904, milliampere=160),
            Channel(label="VDD_SOC", millivolt=4904, milliampere=240),
        ],
        shunt_uohm=5000,
    )
    files |= {
        "proc/device-tree/model": "NVIDIA Jetson Xavier NX Developer Kit\0",
        "proc/device-tree/compatible": "nvidia,p3449-0000+p3668-0000\0nvidia,p3668-0000\0nvidia,tegra194\0",
        "etc/nv_tegra_release": "# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref,"
        " EABI: aarch64, DATE: Tue Aug  1 19:57:35 UTC 2023\n",
    }
    plant(root, files, links)
    return BoardRoot(root, opener=failing)


def thor(root: Path, *, with_input: bool = True) -> BoardRoot:
    """AGX Thor: an INA238 at the board's input reads 28.8 W; idle VDD_GPU reads one step below zero."""
    files, links, failing = ina3221(
        2,
        "2-0040",
        [
            Channel(label="VDD_GPU", millivolt=19600, milliampere=-20),
            Channel(label="VDD_CPU_SOC_MSS", millivolt=19600, milliampere=500),
            Channel(label="VIN_SYS_5V0", millivolt=4992, milliampere=2000),
        ],
        shunt_uohm=2000,
        samples=1,
        update_interval_ms=7,
    )
    files |= {
        "proc/device-tree/model": "NVIDIA Jetson AGX Thor Developer Kit\0",
        "proc/device-tree/compatible": "nvidia,p3971-0089+p3834-0008\0nvidia,p3834-0008\0nvidia,tegra264\0",
        "etc/nv_tegra_release": "# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic,"
        " EABI: aarch64\n",
    }
    if with_input:
        home = "sys/devices/platform/bus@0/c240000.i2c/i2c-2/2-0044"
        files |= {
            f"{home}/hwmon/hwmon1/name": "ina238\n",
            f"{home}/hwmon/hwmon1/in1_input": "19200\n",
            f"{home}/hwmon/hwmon1/curr1_input": "1500\n",
            f"{home}/hwmon/hwmon1/power1_input": "28800000\n",
        }
        links["sys/class/hwmon/hwmon1"] = f"{home}/hwmon/hwmon1"
    plant(root, files, links)
    return BoardRoot(root, opener=failing)


def nano_jp4(root: Path) -> BoardRoot:
    """Nano with JetPack 4 and NVIDIA's own driver: POM_5V_IN 2532 mW."""
    home = "sys/devices/50000000.host1x/546c0000.i2c/i2c-6/6-0040"
    files = _nano("NVIDIA Jetson Nano Developer Kit")
    rails = (("POM_5V_IN", 500, 2532), ("POM_5V_GPU", 40, 202), ("POM_5V_CPU", 160, 810))
    for number, (rail, milliampere, milliwatt) in enumerate(rails):
        files |= {
            f"{home}/iio:device0/rail_name_{number}": f"{rail}\n",
            f"{home}/iio:device0/in_voltage{number}_input": "5064\n",
            f"{home}/iio:device0/in_current{number}_input": f"{milliampere}\n",
            f"{home}/iio:device0/in_power{number}_input": f"{milliwatt}\n",
            f"{home}/iio:device0/in_power{number}_trigger_input": "0\n",
            f"{home}/iio:device0/crit_current_limit_{number}": "32760 ma\n",
        }
    plant(root, files, {"sys/bus/i2c/drivers/ina3221x/6-0040": home})
    return BoardRoot(root)


def nano_2gb(root: Path) -> BoardRoot:
    """Nano 2GB: no monitor."""
    plant(root, _nano("NVIDIA Jetson Nano 2GB Developer Kit"))
    return BoardRoot(root)


def _nano(model: str) -> dict[str, str]:
    files = {
        "proc/device-tree/model": f"{model}\0",
        "etc/nv_tegra_release": "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref,"
        " EABI: aarch64, DATE: Sat Feb 19 17:05:08 UTC 2022\n",
        "sys/class/devfreq/57000000.gpu/cur_freq": "76800000\n",
        "sys/class/devfreq/57000000.gpu/max_freq": "921600000\n",
        "sys/devices/gpu.0/load": "0\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1479000\n",
    }
    zones = {
        "AO-therm": 41500,
        "CPU-therm": 34000,
        "GPU-therm": 31000,
        "PLL-therm": 31500,
        "PMIC-Die": 100000,
        "thermal-fan-est": 33000,
    }
    for number, (kind, millicelsius) in enumerate(zones.items()):
        files[f"sys/class/thermal/thermal_zone{number}/type"] = f"{kind}\n"
        files[f"sys/class/thermal/thermal_zone{number}/temp"] = f"{millicelsius}\n"
    return files
