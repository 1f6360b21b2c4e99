"""Swap, and where a process's memory lies."""

from __future__ import annotations

from edgemeter_agent.board import swap as board_swap
from edgemeter_agent.board.identity import available_memory_bytes
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.tuning.advice import Advice, Step
from edgemeter_agent.tuning.clocks import write_command

MIB = 1024 * 1024
RANDOMIZE = "proc/sys/kernel/randomize_va_space"
ROOM = 2
"""So many times what is swapped out must be available before it is brought back."""


def swap(board: BoardRoot) -> Advice:
    devices = board_swap.devices(board)
    why = "a page that comes back from a card takes a millisecond, from zram a processor's time"
    if not devices:
        return Advice(name="swap", current="none", why=why)
    used = board_swap.used_bytes(board).value or 0
    room = available_memory_bytes(board)
    by_hand = ""
    if room is not None and used * ROOM > room:
        by_hand = f"{used // MIB} MiB are swapped out and {room // MIB} MiB available: free memory first"
    return Advice(
        name="swap",
        current=f"{', '.join(devices)}, {used // MIB} MiB used",
        wanted="none",
        why=why,
        command="; ".join(f"sudo swapoff {device}" for device in devices),
        steps=tuple(Step(kind="swap", what=device) for device in devices),
        by_hand=by_hand,
    )


def address_layout(board: BoardRoot) -> Advice | None:
    """It stays random, as in pyperf's `system tune`: fresh processes must see many layouts, so that the
    interval holds what a layout does to speed. Switched off, one layout is measured over and over."""
    current = board.text_or_none(RANDOMIZE)
    if current is None:
        return None
    why = "fresh processes must sample the layouts of memory; switched off, one of them looks like the truth"
    if current == "2":
        return Advice(name="address layout", current="random", why=why)
    return Advice(
        name="address layout",
        current="fixed" if current == "0" else "partly random",
        wanted="random",
        why=why,
        command=write_command(RANDOMIZE, "2"),
        settings={RANDOMIZE: "2"},
    )
