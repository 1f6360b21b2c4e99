"""What only the kernel's command line changes."""

from __future__ import annotations

from edgemeter_agent.board import processor
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.tuning.advice import Advice

COMMAND_LINES = ("boot/firmware/cmdline.txt", "boot/cmdline.txt")
"""Raspberry Pi OS 12 and later, and before."""
EXTLINUX = "boot/extlinux/extlinux.conf"
"""A Jetson."""
REBOOT = "takes a reboot"


def pressure(board: BoardRoot) -> Advice:
    """Raspberry Pi OS builds it in and leaves it off."""
    why = (
        "pressure stall information shows who waited for a processor where the scheduler's account is missing"
    )
    if processor.pressure_some_us(board).value is not None:
        return Advice(name="psi", current="on", why=why)
    return Advice(
        name="psi",
        current="off",
        wanted="on",
        why=why,
        command=add_to_command_line(board, "psi=1"),
        by_hand=REBOOT,
    )


def isolation(board: BoardRoot, cpus: int) -> Advice | None:
    """Worth it only for measurements that are held on processors by the plan."""
    if cpus < 4:
        return None
    why = "with a plan that holds the variant on a processor (--affinity), nothing else is scheduled there"
    isolated = board.text_or_none("sys/devices/system/cpu/isolated")
    if isolated:
        return Advice(name="isolated processors", current=isolated, why=why)
    last = cpus - 1
    return Advice(
        name="isolated processors",
        current="none",
        wanted=f"{last}, for --affinity {last}",
        why=why,
        command=add_to_command_line(board, f"isolcpus={last}"),
        by_hand=f"{REBOOT}, and takes the processor from everything else",
    )


def add_to_command_line(board: BoardRoot, words: str) -> str:
    for path in COMMAND_LINES:
        if board.path(path).exists():
            return f"sudo sed -i '1s/$/ {words}/' /{path} && sudo reboot"
    if board.path(EXTLINUX).exists():
        return f"sudo sed -i '/^ *APPEND /s/$/ {words}/' /{EXTLINUX} && sudo reboot"
    return f"add {words} to the kernel's command line, and reboot"
