from __future__ import annotations

from collections.abc import Callable

import pytest

from edgemeter_agent.board import identity
from edgemeter_agent.board.root import BoardRoot

Plant = Callable[[dict[str, str]], BoardRoot]
DMI = "sys/class/dmi/id"


def test_pi5(pi5: BoardRoot) -> None:
    assert identity.board_name(pi5, "aarch64") == "Raspberry Pi 5 Model B Rev 1.0"
    assert identity.soc_name(pi5, "aarch64") == "brcm,bcm2712"
    assert identity.operating_system(pi5) == "Debian GNU/Linux 12 (bookworm)"
    assert identity.memory_bytes(pi5) == 8_052_000 * 1024
    assert identity.available_memory_bytes(pi5) == 6_000_000 * 1024


def test_orin_nano(orin_nano: BoardRoot) -> None:
    assert identity.board_name(orin_nano, "aarch64").startswith("NVIDIA Jetson Orin Nano")
    assert identity.soc_name(orin_nano, "aarch64") == "nvidia,tegra234"
    assert identity.operating_system(orin_nano) == "Ubuntu 22.04.5 LTS, L4T R36.4.3"


def test_the_firmwares_device_tree_comes_before_procs(plant: Plant) -> None:
    board = plant(
        {"sys/firmware/devicetree/base/model": "Real\0", "proc/device-tree/model": "Overlaid\0"},
    )
    assert identity.board_name(board, "aarch64") == "Real"


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({f"{DMI}/product_name": "NUC11", f"{DMI}/sys_vendor": "Intel"}, "Intel NUC11"),
        # the vendor is in the product's name already
        ({f"{DMI}/product_name": "Dell XPS", f"{DMI}/sys_vendor": "Dell"}, "Dell XPS"),
        # a mainboard whose maker filled nothing in
        (
            {
                f"{DMI}/product_name": "To Be Filled By O.E.M.",
                "proc/cpuinfo": "processor : 0\nmodel name\t: Some CPU @ 3 GHz\n",
            },
            "Some CPU @ 3 GHz",
        ),
        # a virtual machine without DMI
        ({"proc/cpuinfo": "model name : Xeon\n"}, "Xeon"),
        ({}, "unknown x86_64 board"),
    ],
)
def test_a_pc(plant: Plant, files: dict[str, str], name: str) -> None:
    assert identity.board_name(plant(files), "x86_64") == name


def test_memory_that_cannot_be_read(plant: Plant) -> None:
    board = plant({"proc/meminfo": "MemTotal: lots\n"})
    assert identity.memory_bytes(board) == 0
    assert identity.available_memory_bytes(board) is None
