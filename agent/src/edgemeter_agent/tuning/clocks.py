"""Clocks: the governor, the lowest clock, boost, and two threads a core."""

from __future__ import annotations

from edgemeter_agent.board import boost as board_boost
from edgemeter_agent.board import governor as board_governor
from edgemeter_agent.board import processor
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.tuning.advice import Advice

SMT = "sys/devices/system/cpu/smt/control"

OWN_GOVERNORS = ("intel_pstate", "amd-pstate-epp", "amd_pstate_epp")
"""Drivers whose processor moves the clock by itself even under `performance`
(Documentation/admin-guide/pm/intel_pstate.rst)."""


def governor(board: BoardRoot) -> Advice | None:
    current = processor.governor(board).value
    if current is None:
        return None
    why = (
        "the clock follows the load: the first queries are slow, and blocks are measured at different clocks"
    )
    if current == board_governor.WANTED:
        return Advice(name="governor", current=current, why=why)
    policies = board.glob(f"{processor.CPUFREQ}/policy*")
    offers = [board.text_or_none(f"{policy}/scaling_available_governors") for policy in policies]
    missing = [names for names in offers if names is not None and board_governor.WANTED not in names.split()]
    return Advice(
        name="governor",
        current=current,
        wanted=board_governor.WANTED,
        why=why + "; a measurement by root sets it for itself",
        command=write_command(f"{processor.CPUFREQ}/policy*/scaling_governor", board_governor.WANTED),
        settings={f"{policy}/scaling_governor": board_governor.WANTED for policy in policies},
        by_hand=f"this kernel offers only {missing[0]}" if missing else "",
    )


def lowest_clock(board: BoardRoot) -> Advice | None:
    """Only where `performance` does not hold the clock."""
    raised = {}
    for policy in board.glob(f"{processor.CPUFREQ}/policy*"):
        names = board.text_or_none(f"{policy}/scaling_available_governors")
        holds = names is None or board_governor.WANTED in names.split()
        if holds and board.text_or_none(f"{policy}/scaling_driver") not in OWN_GOVERNORS:
            continue
        least = board.number_or_none(f"{policy}/scaling_min_freq")
        most = board.number_or_none(f"{policy}/scaling_max_freq")
        if least is not None and most is not None and least < most:
            raised[f"{policy}/scaling_min_freq"] = (least, most)
    if not raised:
        return None
    least, most = next(iter(raised.values()))
    return Advice(
        name="lowest clock",
        current=f"{least // 1000} MHz of {most // 1000}",
        wanted=f"{most // 1000} MHz",
        why="the governor does not hold the clock on this board; its lower limit does",
        command="; ".join(write_command(path, str(limits[1])) for path, limits in raised.items()),
        settings={path: str(limits[1]) for path, limits in raised.items()},
    )


def boost(board: BoardRoot) -> Advice | None:
    on = board_boost.boost(board).value
    if on is None:
        return None
    why = "how far above its rated clock a processor runs depends on its temperature and on its neighbours"
    if not on:
        return Advice(name="boost", current="off", why=why)
    settings = board_boost.switches(board, on=False)
    path, value = next(iter(settings.items()))
    if len(settings) > 1:
        path = board_boost.EACH_POLICY
    return Advice(
        name="boost",
        current="on",
        wanted="off",
        why=why,
        command=write_command(path, value),
        settings=settings,
    )


def threads_of_a_core(board: BoardRoot) -> Advice | None:
    control = board.text_or_none(SMT)
    if control not in ("on", "off", "forceoff"):
        return None  # "notsupported", "notimplemented": one thread a core
    why = "two threads of a core share its units: a neighbour slows the variant down without making it wait"
    if control != "on":
        return Advice(name="smt", current="off", why=why)
    return Advice(
        name="smt",
        current="on",
        wanted="off",
        why=why,
        command=write_command(SMT, "off"),
        settings={SMT: "off"},
    )


def write_command(path: str, value: str) -> str:
    return f"echo {value} | sudo tee /{path}"
