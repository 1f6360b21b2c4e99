"""What the board itself says of throttling and of its supply."""

from __future__ import annotations

from edgemeter_agent.board import mailbox
from edgemeter_agent.board.root import BoardRoot, Reading, reason

FIRMWARE = "sys/devices/platform/soc*/*firmware/get_throttled"
CHIPS = ("sys/class/hwmon/hwmon*", "sys/devices/platform/soctherm-oc-event/hwmon/hwmon*")
UNDER_VOLTAGE_NOW = 1 << 0


def throttled_bits(board: BoardRoot) -> Reading[int]:
    """Raspberry Pi's get_throttled: bits 0 to 3 are under-voltage, capped frequency, throttled and soft
    temperature limit now; bits 16 to 19 the same at some time before.

    The firmware driver's file first (hexadecimal, no prefix), then the firmware's mailbox: neither starts a
    process, as vcgencmd does. Without them all, the kernel's own alarm of an under-voltage, which is bit 0.
    """
    for path in board.glob(FIRMWARE):
        try:
            return Reading(value=int(board.text(path), 16), detail=f"/{path}")
        except (OSError, ValueError):
            continue  # the firmware may still answer
    asked = _ask_firmware(board)
    if asked.value is None and (alarm := _under_voltage_alarm(board)) is not None:
        return Reading(value=UNDER_VOLTAGE_NOW if alarm else 0, detail="hwmon rpi_volt, under-voltage only")
    return asked


def _ask_firmware(board: BoardRoot) -> Reading[int]:
    try:
        said, how = mailbox.ask(board, "get_throttled"), "the firmware's mailbox"
    except OSError:
        try:
            said, how = board.program_output("vcgencmd", "get_throttled").strip(), "vcgencmd get_throttled"
        except FileNotFoundError:
            return Reading(
                value=None, detail="no get_throttled: not a Raspberry Pi, or vcgencmd is not installed"
            )
        except OSError as error:
            told = reason(error, "vcgencmd get_throttled (group video may be needed)")
            return Reading(value=None, detail=told)
    name, _, value = said.partition("=")
    try:
        if name != "throttled":
            raise ValueError(said)
        return Reading(value=int(value, 16), detail=how)
    except ValueError:
        return Reading(value=None, detail=f"{how} answered {said!r}")


def _under_voltage_alarm(board: BoardRoot) -> bool | None:
    """The driver rpi_volt looks every 2 s."""
    for chip in board.glob(CHIPS[0]):
        if board.text_or_none(f"{chip}/name") == "rpi_volt":
            alarm = board.number_or_none(f"{chip}/in0_lcrit_alarm")
            return None if alarm is None else alarm != 0
    return None


def throttle_events(board: BoardRoot) -> Reading[int]:
    """Jetson's soctherm over-current counters: oc1 (under-voltage) plus oc2 (average over-current)."""
    return _counted(board, "oc1", "oc2")


def current_events(board: BoardRoot) -> Reading[int]:
    """Jetson's third counter, oc3 (instantaneous over-current). Apart, since NVIDIA calls its rising in MAXN
    expected: about 1 ms at half clock an event, published every 2 s or so."""
    return _counted(board, "oc3")


def _counted(board: BoardRoot, *names: str) -> Reading[int]:
    for pattern in CHIPS:
        for chip in board.glob(pattern):
            if board.text_or_none(f"{chip}/name") != "soctherm_oc":
                continue
            counts = [board.number_or_none(f"{chip}/{name}_event_cnt") for name in names]
            known = [count for count in counts if count is not None]
            if known:
                files = names[0] if len(names) == 1 else "{" + ",".join(name[2:] for name in names) + "}"
                return Reading(value=sum(known), detail=f"/{chip}/oc{files.removeprefix('oc')}_event_cnt")
            return Reading(value=None, detail=f"/{chip}: its event counters are not readable")
    return Reading(value=None, detail="no soctherm_oc in hwmon: not a Jetson")
