"""Temperature of the processor."""

from __future__ import annotations

from edgemeter_agent.board.root import BoardRoot, Reading

NOT_TEMPERATURES = ("pmic-die", "thermal-fan-est")
"""Zones of Jetson Nano that hold a fixed 100 degrees, and an estimate for the fan."""


def temperature_millicelsius(board: BoardRoot) -> Reading[int]:
    """The hottest of the processor's own zones; of all zones where none is named after the processor.

    A zone that can't be read is left out: the zones of a Jetson's gated units answer EAGAIN.
    """
    zones = board.glob("sys/class/thermal/thermal_zone*")
    if not zones:
        return Reading(
            value=None, detail="no /sys/class/thermal/thermal_zone*: this board shows no temperature"
        )
    readable: dict[str, int] = {}
    for zone in zones:
        kind = (board.text_or_none(f"{zone}/type") or zone.rpartition("/")[2]).lower()
        value = board.number_or_none(f"{zone}/temp")
        if value is not None and kind not in NOT_TEMPERATURES:
            readable[kind] = max(value, readable.get(kind, value))
    if not readable:
        return Reading(value=None, detail=f"none of {len(zones)} thermal zones is readable")
    of_processor = {
        kind: value for kind, value in readable.items() if "cpu" in kind or kind == "x86_pkg_temp"
    }
    chosen = of_processor or readable
    hottest = max(chosen, key=lambda kind: chosen[kind])
    return Reading(value=chosen[hottest], detail=f"thermal zone {hottest}")
