from __future__ import annotations

from collections.abc import Callable

import pytest

from edgemeter_agent.board.emulation import emulated_because
from edgemeter_agent.board.root import BoardRoot

Plant = Callable[[dict[str, str]], BoardRoot]
X86_CPUINFO = "processor : 0\nvendor_id : GenuineIntel\nmodel name : Xeon\n"
ARM_CPUINFO = "processor : 0\nFeatures : fp asimd\nCPU implementer : 0x41\nCPU part : 0xd08\n"


@pytest.mark.parametrize(
    ("files", "arch", "environment", "because"),
    [
        # real ones
        ({"proc/cpuinfo": X86_CPUINFO}, "x86_64", {}, None),
        ({"proc/cpuinfo": ARM_CPUINFO}, "aarch64", {}, None),
        ({}, "aarch64", {}, None),
        # the host's processor shows through
        ({"proc/cpuinfo": X86_CPUINFO}, "aarch64", {}, "/proc/cpuinfo is that of an x86"),
        # cpuinfo is a fake, as the runtimes need it; sysfs is the host's
        (
            {"proc/cpuinfo": ARM_CPUINFO, "sys/devices/system/cpu/modalias": "cpu:type:x86,ven0000:feature:"},
            "armv7l",
            {},
            "this process is armv7l, and the processor is an x86",
        ),
        # an emulator is registered for our own architecture
        (
            {"proc/sys/fs/binfmt_misc/qemu-aarch64": "enabled\ninterpreter /usr/bin/qemu\n"},
            "aarch64",
            {},
            "qemu-aarch64",
        ),
        ({"proc/sys/fs/binfmt_misc/qemu-aarch64": "disabled\n"}, "aarch64", {}, None),
        # a board that itself can run x86 programs is none
        ({"proc/sys/fs/binfmt_misc/qemu-x86_64": "enabled\n"}, "aarch64", {}, None),
        ({"proc/sys/fs/binfmt_misc/qemu-aarch64": "enabled\n"}, "x86_64", {}, None),
        ({}, "aarch64", {"QEMU_LD_PREFIX": "/srv/root"}, "QEMU_LD_PREFIX is set"),
        # whole machines
        ({"proc/cpuinfo": "model name : QEMU TCG CPU version 2.5+\n"}, "x86_64", {}, "QEMU's TCG"),
        ({"sys/firmware/devicetree/base/compatible": "linux,dummy-virt\0"}, "aarch64", {}, "virtual machine"),
        # the user knows better, both ways
        ({}, "x86_64", {"EDGEMETER_EMULATED": "1"}, "EDGEMETER_EMULATED=1"),
        ({"proc/cpuinfo": X86_CPUINFO}, "aarch64", {"EDGEMETER_EMULATED": "0"}, None),
    ],
)
def test_signs_of_emulation(
    plant: Plant, files: dict[str, str], arch: str, environment: dict[str, str], because: str | None
) -> None:
    found = emulated_because(plant(files), arch, environment)
    assert (found is None) == (because is None)
    assert (because or "") in (found or "")
