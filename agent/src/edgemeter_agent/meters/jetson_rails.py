"""Which rails of a Jetson make up its total. Pure, but for `module_of`.

Rails feed each other, and differently on each module: a sum of all counts some of them twice. Sources:
energymon's JetsonPowerRails.md (from NVIDIA's device trees and design guides), the Tegra234 device-tree
patches of 2023-09.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgemeter_agent.board.identity import board_name, compatible_names
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import BOARD, MODULE

DOUBLE_COUNT = "sum of unknown rails, may double-count"
NOT_CONNECTED = "NC"
"""Label of a channel that is wired to nothing."""

INPUTS = (("VIN", BOARD), ("VDD_IN", MODULE), ("POM_5V_IN", MODULE))
"""Names that NVIDIA gives to what feeds the whole; the widest first."""


@dataclass(frozen=True, kw_only=True)
class Total:
    """Attributes:
    rails: names of those to sum.
    coverage: what the sum covers.
    """

    rails: tuple[str, ...]
    coverage: str


@dataclass(frozen=True, kw_only=True)
class JetsonModule:
    """Attributes:
    parts: part numbers of the module as the device tree's compatible names hold them, whatever the carrier.
    model: matches the device tree's model where the compatible names say nothing.
    totals: in order of preference; one counts where all of its rails are there.
    input_volt: usual voltage of the rails that are not named "5V".
    """

    name: str
    parts: tuple[str, ...]
    model: str
    totals: tuple[Total, ...]
    input_volt: float


_VDD_IN = Total(rails=("VDD_IN",), coverage=MODULE)
_WITH_CARRIER = Total(rails=("VDD_IN", "VDD_MUX"), coverage=BOARD)
"""VDD_IN feeds the module and VDD_MUX the carrier, side by side."""

MODULES = (
    # Before Nano: its monitor is missing, not just its rails.
    JetsonModule(name="Nano 2GB", parts=("p3542",), model=r"Nano 2GB", totals=(), input_volt=5),
    JetsonModule(
        name="Orin Nano/NX",
        parts=("p3767",),
        model=r"Orin (Nano|NX)",
        totals=(_VDD_IN,),
        input_volt=5,
    ),
    JetsonModule(
        name="AGX Orin",
        parts=("p3701",),
        model=r"AGX Orin|Orin AGX",
        # VDDQ_VDD2_1V8AO, of the chip at 0x41, is fed from VIN_SYS_5V0.
        totals=(Total(rails=("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"), coverage=MODULE),),
        input_volt=19,
    ),
    JetsonModule(
        name="AGX Thor",
        parts=("p3834",),
        model=r"Thor",
        totals=(
            Total(rails=("VIN",), coverage=BOARD),
            Total(rails=("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"), coverage=MODULE),
        ),
        input_volt=19,
    ),
    JetsonModule(name="Xavier NX", parts=("p3668",), model=r"Xavier NX", totals=(_VDD_IN,), input_volt=5),
    JetsonModule(
        name="AGX Xavier",
        parts=("p2888", "p2972"),
        model=r"AGX Xavier|Jetson-AGX",
        totals=(Total(rails=("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"), coverage=MODULE),),
        input_volt=19,
    ),
    JetsonModule(name="TX2 NX", parts=("p3636",), model=r"TX2 NX", totals=(_VDD_IN,), input_volt=5),
    JetsonModule(
        name="TX2",
        parts=("p3310", "p3489"),
        model=r"TX2|quill",
        totals=(_WITH_CARRIER, _VDD_IN),
        input_volt=19,
    ),
    JetsonModule(
        name="TX1",
        parts=("p2180", "p2371"),
        model=r"TX1|jetson_tx1",
        totals=(_WITH_CARRIER, _VDD_IN),
        input_volt=19,
    ),
    JetsonModule(
        name="Nano",
        parts=("p3448", "jetson-nano"),
        model=r"Jetson Nano",
        totals=(Total(rails=("POM_5V_IN",), coverage=MODULE),),
        input_volt=5,
    ),
)


def module_of(board: BoardRoot) -> JetsonModule | None:
    """The Jetson module of this board, None where it is none that is known."""
    return module_named(compatible_names(board), board_name(board, ""))


def module_named(compatible: Sequence[str], model: str) -> JetsonModule | None:
    """By the module's part number, else by the model's name."""
    for module in MODULES:
        if any(part in name for name in compatible for part in module.parts):
            return module
    for module in MODULES:
        if re.search(module.model, model):
            return module
    return None


def total_of(module: JetsonModule | None, rails: Sequence[str]) -> Total:
    """What to sum of the rails that are there, as the module's own rule has it.

    Where there is no such rule, the rail that feeds the whole stands alone; without one all are summed, and
    the coverage says what that is worth.
    """
    there = set(rails)
    for total in module.totals if module else ():
        if there.issuperset(total.rails):
            return total
    for name, coverage in INPUTS:
        if name in there:
            return Total(rails=(name,), coverage=coverage)
    return Total(rails=tuple(rails), coverage=DOUBLE_COUNT)


def usual_volt(module: JetsonModule | None, rail: str) -> float:
    """For the size of a step of power before anything was read: a rail's name or its module's input."""
    if "5V" in rail or module is None:
        return 5.0
    return module.input_volt
