"""A Jetson's power mode and clocks."""

from __future__ import annotations

from edgemeter_agent.board import power_mode as board_power_mode
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.tuning.advice import Advice, Step


def power_mode(board: BoardRoot) -> Advice | None:
    current = board_power_mode.asked_power_mode(board).value
    fastest = board_power_mode.fastest_mode(board.text_or_none(board_power_mode.MODES) or "")
    if current is None or fastest is None:
        return None
    name = current.removesuffix(board_power_mode.HELD)
    why = "a mode's name is a cap on clocks, not a promise of watts: compare boards in one mode, the fastest"
    if name == fastest[1]:
        return Advice(name="power mode", current=name, why=why)
    return Advice(
        name="power mode",
        current=name,
        wanted=fastest[1],
        why=why,
        command=f"sudo nvpmodel -m {fastest[0]}",
        by_hand="it lasts beyond a reboot, and may ask for one; measure in the mode that you will ship with",
    )


def held_clocks(board: BoardRoot) -> Advice | None:
    if board.program("jetson_clocks") is None:
        return None
    why = "the GPU's and the memory's clocks follow the load, too; a restart of nvpmodel undoes it silently"
    if board_power_mode.clocks_held(board):
        return Advice(name="jetson_clocks", current="on", why=why)
    return Advice(
        name="jetson_clocks",
        current="off",
        wanted="on",
        why=why,
        command="sudo jetson_clocks --store && sudo jetson_clocks",
        steps=(Step(kind="jetson_clocks"),),
    )
