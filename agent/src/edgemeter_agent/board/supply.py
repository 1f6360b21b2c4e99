"""The supply: what it says that it can give, and what arrives."""

from __future__ import annotations

import re

from edgemeter_agent.board import mailbox
from edgemeter_agent.board.root import BoardRoot, Reading, reason

MAX_CURRENT = (
    "proc/device-tree/chosen/power/max_current",
    "sys/firmware/devicetree/base/chosen/power/max_current",
)
PI5_WANTS_MA = 5000


def max_ma(board: BoardRoot) -> Reading[int]:
    """Raspberry Pi 5's firmware wrote down what was agreed with the supply: a big-endian word, in mA; 5000
    with USB-PD at 5 A, else 3000."""
    for path in MAX_CURRENT:
        try:
            content = board.path(path).read_bytes()
        except OSError:
            continue
        if len(content) == 4:
            return Reading(value=int.from_bytes(content, "big"), detail=f"/{path}")
        return Reading(value=None, detail=f"/{path} has {len(content)} bytes, not 4")
    return Reading(value=None, detail=f"no /{MAX_CURRENT[0]}: not a Raspberry Pi 5")


def input_mv(board: BoardRoot) -> Reading[int]:
    """Raspberry Pi 5: the 5 V input as its power chip measures it (EXT5V_V)."""
    command = ("pmic_read_adc", "EXT5V_V")
    try:
        said = mailbox.ask(board, " ".join(command))
    except OSError:
        try:
            said = board.program_output("vcgencmd", *command)
        except FileNotFoundError:
            return Reading(value=None, detail="no vcgencmd: not a Raspberry Pi")
        except OSError as error:
            return Reading(value=None, detail=reason(error, "vcgencmd pmic_read_adc"))
    volts = re.search(r"EXT5V_V volt\(\d+\)=([\d.]+)V", said)
    if volts is None:
        return Reading(value=None, detail="pmic_read_adc tells no EXT5V_V: not a Raspberry Pi 5")
    return Reading(value=round(float(volts[1]) * 1000), detail="pmic_read_adc EXT5V_V")
