"""The accelerator: its clock, and who else holds it."""

from __future__ import annotations

import os

from edgemeter_agent.board.root import BoardRoot, Reading

GPU_CLOCKS = ("sys/class/devfreq/*.gpu", "sys/class/devfreq/*.gv11b", "sys/class/devfreq/gpu-gpc-*")
"""Orin and Nano; Xavier; Thor."""

DEVICES = ("dev/nvhost-*", "dev/nvgpu/*/*", "dev/nvmap", "dev/nvidia[0-9]*")
"""A Jetson's, and a PC's with an NVIDIA card."""


def frequency_hz(board: BoardRoot) -> Reading[int]:
    """Clock of the GPU; of several the fastest."""
    units = [unit for pattern in GPU_CLOCKS for unit in board.glob(pattern)]
    clocks = [board.number_or_none(f"{unit}/cur_freq") for unit in units]
    known = [clock for clock in clocks if clock]
    if known:
        return Reading(value=max(known), detail=f"/{units[0]}/cur_freq")
    return Reading(value=None, detail="no GPU in /sys/class/devfreq with a readable cur_freq")


def is_here(board: BoardRoot) -> bool:
    return any(board.glob(pattern) for pattern in DEVICES)


def users(board: BoardRoot) -> Reading[int]:
    """Processes that hold one of the accelerator's devices, other than the caller, its parent and its
    siblings, which are the harness.

    Holding is not using: a desktop holds it and computes nothing. Only root sees the open files of other
    users' processes (proc(5), /proc/PID/fd); where one of them can't be looked into, none found is no answer.
    Looks at every open file of the board: some milliseconds.
    """
    if not is_here(board):
        return Reading(value=None, detail="no accelerator's device: neither /dev/nvhost-* nor /dev/nvidia*")
    ours = {os.getpid(), os.getppid()}
    count = closed = 0
    for name in board.names("proc"):
        if not name.isdigit() or int(name) in ours or _parent(board, name) in ours:
            continue
        held = _holds(board, name)
        closed += held is None
        count += bool(held)
    if closed:
        detail = (
            f"the open files of {closed} processes of other users are hidden from this user; root sees them"
        )
        # What was seen is there, however many more there are.
        return Reading(value=count or None, detail=detail)
    return Reading(value=count, detail="open files under /proc/*/fd")


def _holds(board: BoardRoot, pid: str) -> bool | None:
    """None where its files are hidden. A process that ended meanwhile, and the kernel's own, hold nothing."""
    try:
        files = list(board.path(f"proc/{pid}/fd").iterdir())
    except PermissionError:
        return None
    except OSError:
        return False
    for file in files:
        try:
            target = str(file.readlink())
        except OSError:
            continue
        if _is_accelerator(target):
            return True
    return False


def _is_accelerator(target: str) -> bool:
    return target.startswith(("/dev/nvhost-", "/dev/nvgpu/", "/dev/nvidia")) or target == "/dev/nvmap"


def _parent(board: BoardRoot, pid: str) -> int:
    """Field 4 of /proc/PID/stat; 0 where it is gone."""
    fields = (board.text_or_none(f"proc/{pid}/stat") or "").rpartition(")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0
