"""Small trees that a player makes live, each a board with its power sensor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

HWMON = "sys/class/hwmon/hwmon1"
RAPL_ZONE = "sys/class/powercap/intel-rapl:0"
PMIC_TEXT = "simulated/pmic_read_adc"
THROTTLED_TEXT = "simulated/get_throttled"
THROTTLE_CHIP = "sys/class/hwmon/hwmon3"
ZONE = "sys/class/thermal/thermal_zone0"
CPUFREQ = "sys/devices/system/cpu/cpufreq/policy0"

_COMMON = {
    f"{ZONE}/type": "cpu-thermal\n",
    f"{ZONE}/temp": "48468\n",
    f"{CPUFREQ}/scaling_cur_freq": "1728000\n",
    f"{CPUFREQ}/cpuinfo_max_freq": "1728000\n",
}

ORIN_NANO = {
    **_COMMON,
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
    "proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic,"
    " EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025\n",
    f"{HWMON}/name": "ina3221\n",
    f"{HWMON}/in1_label": "VDD_IN\n",
    f"{HWMON}/in2_label": "VDD_CPU_GPU_CV\n",
    f"{HWMON}/in3_label": "VDD_SOC\n",
    f"{HWMON}/samples": "512\n",
    f"{HWMON}/update_interval": "430\n",
    **{f"{HWMON}/in{channel}_enable": "1\n" for channel in (1, 2, 3)},
    **{f"{HWMON}/shunt{channel}_resistor": "5000\n" for channel in (1, 2, 3)},
    **{f"{HWMON}/in{channel}_input": "5016\n" for channel in (1, 2, 3)},
    **{f"{HWMON}/curr{channel}_input": "480\n" for channel in (1, 2, 3)},
    f"{THROTTLE_CHIP}/name": "soctherm_oc\n",
    f"{THROTTLE_CHIP}/oc1_event_cnt": "0\n",
    f"{THROTTLE_CHIP}/oc2_event_cnt": "0\n",
    f"{THROTTLE_CHIP}/oc3_event_cnt": "2\n",
}

X86_RAPL = {
    **_COMMON,
    f"{RAPL_ZONE}/name": "package-0\n",
    f"{RAPL_ZONE}/energy_uj": "262143000000\n",
    f"{RAPL_ZONE}/max_energy_range_uj": "262143328850\n",
}

_VCGENCMD = f"""#!/bin/sh
root=$(dirname "$0")/..
case "$1" in
pmic_read_adc) exec cat "$root/{PMIC_TEXT}" ;;
get_throttled) exec cat "$root/{THROTTLED_TEXT}" ;;
*) echo "bad command" >&2; exit 1 ;;
esac
"""

PI5 = {
    **_COMMON,
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/device-tree/compatible": "raspberrypi,5-model-b\0brcm,bcm2712\0",
    "bin/vcgencmd": _VCGENCMD,
    PMIC_TEXT: "",
    THROTTLED_TEXT: "throttled=0x0\n",
}

INA219 = {
    **_COMMON,
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/device-tree/compatible": "raspberrypi,4-model-b\0brcm,bcm2711\0",
    f"{HWMON}/name": "ina219\n",
    f"{HWMON}/shunt_resistor": "100000\n",
    f"{HWMON}/in0_input": "80\n",
    f"{HWMON}/in1_input": "5100\n",
    f"{HWMON}/curr1_input": "800\n",
    f"{HWMON}/power1_input": "4080000\n",
}


def plant(root: Path, files: Mapping[str, str]) -> Path:
    """Writes the tree; programs can be run."""
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        if path.startswith("bin/"):
            target.chmod(0o755)
    return root
