"""What the board itself says of throttling and of its supply."""

from __future__ import annotations

from edgemeter_agent.board.root import BoardRoot, Reading, reason


def throttled_bits(board: BoardRoot) -> Reading[int]:
    """Raspberry Pi's get_throttled: bits 0 to 3 are under-voltage, capped frequency, throttled and soft
    temperature limit now; bits 16 to 19 the same at some time before.

    The firmware driver's file first (hexadecimal, no prefix): it starts no process.
    """
    for path in board.glob("sys/devices/platform/soc*/*firmware/get_throttled"):
        try:
            return Reading(value=int(board.text(path), 16), detail=f"/{path}")
        except (OSError, ValueError):
            continue  # vcgencmd may still know
    try:
        said = board.program_output("vcgencmd", "get_throttled").strip()
    except FileNotFoundError:
        return Reading(
            value=None, detail="no get_throttled: not a Raspberry Pi, or vcgencmd is not installed"
        )
    except OSError as error:
        return Reading(value=None, detail=reason(error, "vcgencmd get_throttled (group video may be needed)"))
    name, _, value = said.partition("=")
    try:
        if name != "throttled":
            raise ValueError(said)
        return Reading(value=int(value, 16), detail="vcgencmd get_throttled")
    except ValueError:
        return Reading(value=None, detail=f"vcgencmd get_throttled answered {said!r}")


def throttle_events(board: BoardRoot) -> Reading[int]:
    """Jetson's soctherm over-current counters: oc1 (under-voltage) plus oc2 (average over-current).

    oc3 (instantaneous over-current) is left out: NVIDIA calls its rising in MAXN expected, about 1 ms at half
    clock an event.
    """
    chips = board.glob("sys/class/hwmon/hwmon*") + board.glob(
        "sys/devices/platform/soctherm-oc-event/hwmon/hwmon*"
    )
    for chip in chips:
        if board.text_or_none(f"{chip}/name") != "soctherm_oc":
            continue
        counts = [board.number_or_none(f"{chip}/{name}_event_cnt") for name in ("oc1", "oc2")]
        known = [count for count in counts if count is not None]
        if known:
            return Reading(value=sum(known), detail=f"/{chip}/oc{{1,2}}_event_cnt")
        return Reading(value=None, detail=f"/{chip}: its event counters are not readable")
    return Reading(value=None, detail="no soctherm_oc in hwmon: not a Jetson")
