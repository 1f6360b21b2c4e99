"""Which module a board has, and which rails make up its total."""

from __future__ import annotations

import pytest

from edgemeter_agent.meters import BOARD, MODULE
from edgemeter_agent.meters.jetson_rails import DOUBLE_COUNT, Total, module_named, total_of, usual_volt


@pytest.mark.parametrize(
    ("compatible", "model", "name"),
    [
        (["nvidia,p3768-0000+p3767-0005-super", "nvidia,tegra234"], "", "Orin Nano/NX"),
        # a carrier of somebody else keeps the module's part number
        (["acme,carrier", "nvidia,p3767-0000", "nvidia,tegra234"], "ACME Box", "Orin Nano/NX"),
        (["nvidia,p3737-0000+p3701-0005", "nvidia,tegra234"], "", "AGX Orin"),
        (["nvidia,p3971-0089+p3834-0008", "nvidia,tegra264"], "", "AGX Thor"),
        (["nvidia,p3509-0000+p3668-0001", "nvidia,tegra194"], "", "Xavier NX"),
        (["nvidia,p2972-0000", "nvidia,tegra194"], "", "AGX Xavier"),
        (["nvidia,p3509-0000+p3636-0001", "nvidia,tegra186"], "", "TX2 NX"),
        (["nvidia,p2597-0000+p3310-1000", "nvidia,tegra186"], "", "TX2"),
        (["nvidia,p2371-2180", "nvidia,tegra210"], "", "TX1"),
        (["nvidia,p3449-0000-b00+p3448-0000-b00", "nvidia,jetson-nano"], "", "Nano"),
        # the module's number is Nano's; its carrier's is not
        (["nvidia,p3542-0000+p3448-0003", "nvidia,jetson-nano"], "", "Nano 2GB"),
        ([], "NVIDIA Jetson Nano Developer Kit", "Nano"),
        ([], "NVIDIA Jetson Nano 2GB Developer Kit", "Nano 2GB"),
        ([], "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit", "Orin Nano/NX"),
        ([], "NVIDIA Orin NX Developer Kit", "Orin Nano/NX"),
        ([], "NVIDIA Jetson Xavier NX Developer Kit", "Xavier NX"),
        ([], "Jetson-AGX", "AGX Xavier"),
        ([], "NVIDIA Jetson AGX Orin Developer Kit", "AGX Orin"),
        (["raspberrypi,5-model-b", "brcm,bcm2712"], "Raspberry Pi 5 Model B Rev 1.0", None),
        ([], "", None),
    ],
)
def test_the_module_of_a_board(compatible: list[str], model: str, name: str | None) -> None:
    module = module_named(compatible, model)
    assert (module.name if module else None) == name


XAVIER = ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V")


@pytest.mark.parametrize(
    ("module", "rails", "total"),
    [
        ("NVIDIA Jetson AGX Xavier", XAVIER, Total(rails=XAVIER, coverage=MODULE)),
        # the module and its carrier side by side
        (
            "quill TX2",
            ("VDD_SYS_GPU", "VDD_IN", "VDD_SYS_CPU", "VDD_MUX", "VDD_5V0_IO_SYS"),
            Total(rails=("VDD_IN", "VDD_MUX"), coverage=BOARD),
        ),
        # on a carrier without a monitor
        ("quill TX2", ("VDD_SYS_GPU", "VDD_IN"), Total(rails=("VDD_IN",), coverage=MODULE)),
        ("TX2 NX", ("VDD_IN", "VDD_CPU_GPU", "VDD_SOC"), Total(rails=("VDD_IN",), coverage=MODULE)),
        # both are there: never both
        ("AGX Thor", ("VDD_GPU", "VIN"), Total(rails=("VIN",), coverage=BOARD)),
        # a module whose rails are not those that are known
        ("AGX Orin", ("VDD_A", "VDD_B"), Total(rails=("VDD_A", "VDD_B"), coverage=DOUBLE_COUNT)),
        # unknown boards
        ("ACME", ("VDD_IN", "VDD_SOC"), Total(rails=("VDD_IN",), coverage=MODULE)),
        ("ACME", ("POM_5V_IN", "POM_5V_GPU"), Total(rails=("POM_5V_IN",), coverage=MODULE)),
        ("ACME", ("VIN", "VDD_IN"), Total(rails=("VIN",), coverage=BOARD)),
        ("ACME", ("A", "B"), Total(rails=("A", "B"), coverage=DOUBLE_COUNT)),
    ],
)
def test_what_is_summed(module: str, rails: tuple[str, ...], total: Total) -> None:
    assert total_of(module_named([], module), rails) == total


@pytest.mark.parametrize(
    ("module", "rail", "volt"),
    [("AGX Orin", "VDD_GPU_SOC", 19), ("AGX Orin", "VIN_SYS_5V0", 5), ("Orin NX", "VDD_IN", 5), ("", "A", 5)],
)
def test_usual_voltages(module: str, rail: str, volt: float) -> None:
    assert usual_volt(module_named([], module), rail) == volt
