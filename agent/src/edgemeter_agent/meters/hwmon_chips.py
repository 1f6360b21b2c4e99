"""The chips that Linux' hwmon shows. Their numbers change from boot to boot; names and labels do not."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgemeter_agent.board.root import BoardRoot


@dataclass(frozen=True, kw_only=True)
class Chip:
    """Attributes:
    path: its folder, relative to the board's root.
    name: of the driver: "ina3221".
    device: what it belongs to: "1-0040" for address 0x40 on I2C bus 1.
    """

    path: str
    name: str
    device: str

    def file(self, attribute: str) -> str:
        return f"{self.path}/{attribute}"


def chips(board: BoardRoot) -> list[Chip]:
    found = []
    for path in board.glob("sys/class/hwmon/hwmon*"):
        name = board.text_or_none(f"{path}/name")
        if name:
            found.append(Chip(path=path, name=name, device=_device_of(board, path)))
    return sorted(found, key=lambda chip: (chip.device, chip.path))


def numbers_of(board: BoardRoot, chip: Chip, kind: str, ending: str) -> list[int]:
    """The channels of a chip: [1, 2] where it has in1_input and in2_input, for kind "in" and ending
    "input"."""
    # The pattern of a glob would also take in_power0_trigger_input and in1_lcrit_input.
    pattern = re.compile(rf"{kind}(\d+)_{ending}")
    matches = (pattern.fullmatch(entry) for entry in board.names(chip.path))
    return sorted(int(match[1]) for match in matches if match)


def name_of(kind: str, chip: Chip, alike: int) -> str:
    """A meter's name: the kind alone, with the chip's place where there are several alike."""
    return kind if alike == 1 else f"{kind}-{chip.device or chip.path.rpartition('/')[2]}"


def _device_of(board: BoardRoot, path: str) -> str:
    """/sys/devices/.../1-0040/hwmon/hwmon1 is of 1-0040."""
    folder = board.path(path).resolve().parent
    return folder.parent.name if folder.name == "hwmon" and folder.parent.name != "class" else ""
