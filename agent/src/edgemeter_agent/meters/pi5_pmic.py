"""Raspberry Pi 5's power controller (PMIC): current and voltage of a dozen rails, asked of the firmware.

It sees neither the 5 V side (USB, HATs, NVMe) nor what its regulators lose. The firmware answers the command
`pmic_read_adc`, through its mailbox or else through the program vcgencmd.
"""

from __future__ import annotations

import errno
import fcntl
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgemeter_agent.board import mailbox
from edgemeter_agent.board.identity import board_name, compatible_names
from edgemeter_agent.board.root import BoardRoot, reason
from edgemeter_agent.meters import Description, Meter, Rail, Reading, Unusable
from edgemeter_agent.meters.attribute import fault_of
from edgemeter_agent.meters.polled import Polled
from edgemeter_agent.meters.rails import WITHOUT_DATASHEET, rectangular

KIND = "pmic"
COVERAGE = "SoC and board rails, not USB/5 V"
COMMAND = "pmic_read_adc"
JOIN_GROUP = "add the agent's user to group video"
INSTALL = "install raspi-utils and update the firmware"

KNOWN_RAILS = (
    "3V7_WL_SW",
    "3V3_SYS",
    "1V8_SYS",
    "DDR_VDD2",
    "DDR_VDDQ",
    "1V1_SYS",
    "0V8_SW",
    "VDD_CORE",
    "3V3_DAC",
    "3V3_ADC",
    "0V8_AON",
    "HDMI",
)

MAILBOX_HZ = 10.0
"""A call takes the firmware about 47 ms, and holds up others that ask it, such as frequency scaling."""
VCGENCMD_HZ = 5.0
"""Each reading starts a process, which takes processor time from what is measured."""

RESOLUTION_MW = 6.0
"""Steps of about 1 mA on seven rails of 0.6 to 3.7 V and 3 mA on VDD_CORE, as answers show; root of
squares."""
GAIN_ERROR = rectangular(WITHOUT_DATASHEET)
OFFSET_ERROR_MW = rectangular(20.0)
"""A few mA on each of twelve rails. No datasheet of this converter is public."""

MISSING_RAIL = "missing_rail"

_VALUE = re.compile(
    r"(?P<rail>\w+)_(?P<quantity>[AV])\s+(?:current|volt)\(\d+\)=(?P<value>-?\d+(?:\.\d+)?)(?P<unit>[AV])"
)


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A way to ask the firmware. Attributes:
    ask: gives its answer; raises OSError.
    """

    name: str
    rate_hz: float
    ask: Callable[[], str]


def rails_mw(answer: str) -> dict[str, float]:
    """Power of each rail that has both a current and a voltage, joined by name, in the order of the currents.

    EXT5V_V and BATT_V are voltages alone. Raises ValueError where there is no such rail.
    """
    amperes: dict[str, float] = {}
    volts: dict[str, float] = {}
    for match in _VALUE.finditer(answer):
        if match["quantity"] == match["unit"]:
            (amperes if match["unit"] == "A" else volts)[match["rail"]] = float(match["value"])
    found = {rail: ampere * volts[rail] * 1000 for rail, ampere in amperes.items() if rail in volts}
    if not found:
        said = answer.strip().splitlines()
        raise ValueError(f"no rail in {said[0][:80]!r}" if said else "an empty answer")
    return found


def find(board: BoardRoot, control: mailbox.Control = fcntl.ioctl) -> list[Meter | Unusable]:
    """The meter of a Raspberry Pi 5, Compute Module 5 or Pi 500; asks once, since its rails have no other
    list."""
    if "brcm,bcm2712" not in compatible_names(board) and "Raspberry Pi 5" not in board_name(board, ""):
        return []
    sources = (
        _Source(
            name="the firmware's mailbox",
            rate_hz=MAILBOX_HZ,
            ask=lambda: mailbox.ask(board, COMMAND, control),
        ),
        _Source(
            name="vcgencmd",
            rate_hz=VCGENCMD_HZ,
            ask=lambda: board.program_output("vcgencmd", COMMAND),
        ),
    )
    failures: list[str] = []
    for source in sources:
        try:
            return [_meter(source, list(rails_mw(source.ask())))]
        except (OSError, ValueError) as error:
            # A program names itself in its failures.
            failures.append(reason(error, source.name).replace(2 * f"{source.name}: ", f"{source.name}: "))
    denied = any("permission denied" in failure for failure in failures)
    return [Unusable(name=KIND, reason=f"{'; '.join(failures)}: {JOIN_GROUP if denied else INSTALL}")]


def _meter(source: _Source, rails: Sequence[str]) -> Meter:
    detail = f"{COMMAND} of {source.name}, {len(rails)} rails"
    missing = [rail for rail in KNOWN_RAILS if rail not in rails]
    extra = [rail for rail in rails if rail not in KNOWN_RAILS]
    if missing:
        detail += f"; without {', '.join(missing)}"
    if extra:
        detail += f"; also {', '.join(extra)}, unknown here"
    description = Description(
        name=KIND,
        kind=KIND,
        coverage=COVERAGE,
        rails=tuple(Rail(name=rail, in_total=True) for rail in rails),
        rate_hz=source.rate_hz,
        resolution_mw=RESOLUTION_MW,
        gain_error=GAIN_ERROR,
        offset_error_mw=OFFSET_ERROR_MW,
        lag_s=0,
        has_counter=False,
        detail=detail,
    )
    return Polled(description, lambda: lambda: _read(source, rails))


def _read(source: _Source, rails: Sequence[str]) -> Reading:
    """A rail that is not in the answer any more would make the total too small: it is a fault."""
    began_ns = time.monotonic_ns()
    fault = ""
    powers: dict[str, float] = {}
    try:
        powers = rails_mw(source.ask())
    except FileNotFoundError as error:
        fault = fault_of(OSError(errno.ENOENT, str(error)), source.name, JOIN_GROUP)
    except (OSError, ValueError) as error:
        fault = fault_of(error, source.name, JOIN_GROUP)
    stamp_ns = (began_ns + time.monotonic_ns()) // 2
    if not fault and not powers.keys() >= set(rails):
        fault = MISSING_RAIL
    if fault:
        return Reading(monotonic_ns=stamp_ns, total_mw=None, fault=fault)
    values = tuple(powers[rail] for rail in rails)
    return Reading(monotonic_ns=stamp_ns, total_mw=sum(values), rails_mw=values)
