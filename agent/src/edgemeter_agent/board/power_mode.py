"""A Jetson's power mode (nvpmodel), and whether jetson_clocks holds its clocks at their maximum."""

from __future__ import annotations

import re
from functools import lru_cache

from edgemeter_agent.board.accelerator import GPU_CLOCKS
from edgemeter_agent.board.processor import CPUFREQ
from edgemeter_agent.board.root import BoardRoot, Reading

STATUS = "var/lib/nvpmodel/status"
"""What nvpmodel wrote last: "pmode:0002"."""
MODES = "etc/nvpmodel.conf"
HELD = "+jetson_clocks"


def power_mode(board: BoardRoot) -> Reading[str]:
    """ "15W", "MAXN_SUPER+jetson_clocks": the mode's name and whether the clocks are held; two files and
    those of the clocks, no process."""
    status = re.match(r"pmode:(\d+)", board.text_or_none(STATUS) or "")
    if status is None:
        return Reading(value=None, detail=f"no /{STATUS}: not a Jetson, or nvpmodel never ran")
    number = int(status[1])
    name = modes(board.text_or_none(MODES) or "").get(number, str(number))
    held = clocks_held(board)
    return Reading(value=name + (HELD if held else ""), detail=f"/{STATUS}, /{MODES}")


def asked_power_mode(board: BoardRoot) -> Reading[str]:
    """Likewise, and where nothing is written down, what `nvpmodel -q` says: for once a job, not for a
    block."""
    written = power_mode(board)
    if written.value is not None:
        return written
    try:
        said = re.search(r"^NV Power Mode:\s*(\S+)", board.program_output("nvpmodel", "-q"), re.MULTILINE)
    except OSError:
        return written
    if said is None:
        return Reading(value=None, detail="nvpmodel -q names no mode")
    return Reading(value=said[1] + (HELD if clocks_held(board) else ""), detail="nvpmodel -q")


@lru_cache(maxsize=4)
def modes(configuration: str) -> dict[int, str]:
    """Number -> name, of nvpmodel.conf's lines "< POWER_MODEL ID=2 NAME=MAXN_SUPER >"."""
    found = re.findall(r"^<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)", configuration, re.MULTILINE)
    return {int(number): name for number, name in found}


def fastest_mode(configuration: str) -> tuple[int, str] | None:
    """Number and name of the mode without caps (MAXN…), else of the one with most watts; the highest number
    is not it. None where no mode is known."""

    def rank(mode: tuple[int, str]) -> tuple[bool, int]:
        watts = re.search(r"(\d+)W", mode[1])
        return mode[1].startswith("MAXN"), int(watts[1]) if watts else 0

    return max(modes(configuration).items(), key=rank, default=None)


def clocks_held(board: BoardRoot) -> bool | None:
    """Whether every clock's minimum is its maximum, which is what jetson_clocks does, and what a restart of
    nvpmodel.service silently undoes. None where no clock shows its limits."""
    limits = [
        (
            board.number_or_none(f"{policy}/scaling_min_freq"),
            board.number_or_none(f"{policy}/scaling_max_freq"),
        )
        for policy in board.glob(f"{CPUFREQ}/policy*")
    ]
    for pattern in GPU_CLOCKS:
        limits += [
            (board.number_or_none(f"{gpu}/min_freq"), board.number_or_none(f"{gpu}/max_freq"))
            for gpu in board.glob(pattern)
        ]
    known = [(least, most) for least, most in limits if least is not None and most is not None]
    return all(least == most for least, most in known) if known else None
