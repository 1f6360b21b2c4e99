"""Boost (turbo): the processor may run above its rated clock for as long as heat and power allow."""

from __future__ import annotations

from edgemeter_agent.board.root import BoardRoot, Reading

INTEL = "sys/devices/system/cpu/intel_pstate/no_turbo"
"""1 where it is off (Documentation/admin-guide/pm/intel_pstate.rst)."""
GENERAL = "sys/devices/system/cpu/cpufreq/boost"
"""1 where it is on (Documentation/admin-guide/pm/cpufreq.rst)."""
EACH_POLICY = "sys/devices/system/cpu/cpufreq/policy*/boost"
"""Likewise, on newer kernels with drivers that can tell."""


def boost(board: BoardRoot) -> Reading[bool]:
    """Whether any processor may boost."""
    if (turned_off := board.number_or_none(INTEL)) is not None:
        return Reading(value=turned_off == 0, detail=f"/{INTEL}")
    if (on := board.number_or_none(GENERAL)) is not None:
        return Reading(value=on != 0, detail=f"/{GENERAL}")
    each = [board.number_or_none(policy) for policy in board.glob(EACH_POLICY)]
    known = [on for on in each if on is not None]
    if known:
        return Reading(value=any(known), detail=f"/{EACH_POLICY}")
    return Reading(value=None, detail="neither no_turbo nor boost in cpufreq: this processor has no boost")


def switches(board: BoardRoot, on: bool) -> dict[str, str]:
    """What to write where to turn it on or off; nothing where there is nothing."""
    if board.text_or_none(INTEL) is not None:
        return {INTEL: "0" if on else "1"}
    if board.text_or_none(GENERAL) is not None:
        return {GENERAL: "1" if on else "0"}
    return dict.fromkeys(board.glob(EACH_POLICY), "1" if on else "0")
