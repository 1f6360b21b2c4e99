"""PCs: a desktop whose processor counts energy, and a laptop."""

from __future__ import annotations

import errno
from pathlib import Path

from edgemeter_agent.board.root import BoardRoot
from tests.boards.tree import Faults, plant

ZONE = "sys/class/powercap/intel-rapl:0"
RANGE_UJ = 262_143_328_850
BEFORE_UJ = 262_143_000_000
AFTER_UJ = 671_150
"""A second look, after the counter wrapped: 1 000 000 uJ later."""


def x86_rapl(root: Path, *, packages: int = 1, forbidden: bool = False) -> BoardRoot:
    """`forbidden`: as kernels from 5.10 on have it for all but root."""
    files = {
        "sys/class/dmi/id/product_name": "OptiPlex 7080\n",
        "sys/class/dmi/id/sys_vendor": "Dell Inc.\n",
        f"{ZONE}:0/name": "core\n",
        f"{ZONE}:0/energy_uj": "131071500000\n",
        f"{ZONE}:0/max_energy_range_uj": f"{RANGE_UJ}\n",
        "sys/class/powercap/intel-rapl-mmio:0/name": "package-0\n",
        "sys/class/powercap/intel-rapl-mmio:0/energy_uj": f"{BEFORE_UJ}\n",
        "sys/class/powercap/intel-rapl-mmio:0/max_energy_range_uj": f"{RANGE_UJ}\n",
        "sys/class/powercap/intel-rapl/enabled": "1\n",
    }
    for number in range(packages):
        zone = f"sys/class/powercap/intel-rapl:{number}"
        files |= {
            f"{zone}/name": f"package-{number}\n",
            f"{zone}/energy_uj": f"{BEFORE_UJ}\n",
            f"{zone}/max_energy_range_uj": f"{RANGE_UJ}\n",
        }
    plant(root, files)
    failing = Faults({"/energy_uj": errno.EACCES}) if forbidden else Faults()
    return BoardRoot(root, opener=failing)


def laptop(root: Path, *, status: str = "Discharging", power_file: bool = True) -> BoardRoot:
    """Its battery gives 8.4 W; the USB-C port's "measurements" are what it negotiated, the mouse has a
    battery."""
    supplies = "sys/class/power_supply"
    files = {
        "sys/class/dmi/id/product_name": "ThinkPad X1\n",
        f"{supplies}/AC/type": "Mains\n",
        f"{supplies}/AC/online": f"{int(status != 'Discharging')}\n",
        f"{supplies}/BAT0/type": "Battery\n",
        f"{supplies}/BAT0/status": f"{status}\n",
        f"{supplies}/BAT0/voltage_now": "12000000\n",
        f"{supplies}/hid-mouse-battery/type": "Battery\n",
        f"{supplies}/hid-mouse-battery/scope": "Device\n",
        f"{supplies}/hid-mouse-battery/status": "Discharging\n",
        f"{supplies}/ucsi-source-psy-USBC000:001/type": "USB\n",
        f"{supplies}/ucsi-source-psy-USBC000:001/voltage_now": "20000000\n",
        f"{supplies}/ucsi-source-psy-USBC000:001/current_now": "3000000\n",
        "sys/class/hwmon/hwmon0/name": "BAT0\n",
        "sys/class/hwmon/hwmon0/in0_input": "12000\n",
        "sys/class/hwmon/hwmon0/power1_input": "8400000\n",
        "sys/class/hwmon/hwmon1/name": "ucsi_source_psy_USBC000:001\n",
        "sys/class/hwmon/hwmon1/in1_input": "20000\n",
        "sys/class/hwmon/hwmon1/curr1_input": "3000\n",
    }
    if power_file:
        files[f"{supplies}/BAT0/power_now"] = "8400000\n"
    else:
        # Some drivers sign what flows out.
        files[f"{supplies}/BAT0/current_now"] = "-700000\n"
    plant(root, files, {"sys/class/hwmon/hwmon0/device": f"{supplies}/BAT0"})
    return BoardRoot(root)
