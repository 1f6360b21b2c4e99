"""Other programs: services that wake up when nobody expects it, a desktop, and whoever is busy right now."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from edgemeter_agent.board.processor import SECOND_NS, tick_ns
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.tuning.advice import Advice, Step

RESTLESS = {
    "unattended-upgr": "unattended-upgrades.service",
    "packagekitd": "packagekit.service",
    "snapd": "snapd.service",
    "fwupd": "fwupd.service",
    "triggerhappy": "triggerhappy.service",
    "cups-browsed": "cups-browsed.service",
}
"""A process's name, of which the kernel keeps 15 letters -> its service."""
STOPPABLE = frozenset(RESTLESS.values())

DESKTOPS = ("Xorg", "Xwayland", "gnome-shell", "labwc", "wayfire", "lxpanel", "kwin_wayland", "kwin_x11")

PROBE_S = 1.0
BUSY_SHARE = 0.05
"""Of one processor, as for a block on all of them (judge.MAX_OTHERS_SHARE)."""


def background_services(board: BoardRoot) -> Advice:
    running = sorted({RESTLESS[name] for name in _names(board).values() if name in RESTLESS})
    why = "they wake up by themselves and compute for minutes"
    if not running:
        return Advice(name="background services", current="none that is known for it", why=why)
    return Advice(
        name="background services",
        current=", ".join(running),
        wanted="stopped",
        why=why,
        command=f"sudo systemctl stop {' '.join(running)}",
        steps=tuple(Step(kind="service", what=service) for service in running),
    )


def desktop(board: BoardRoot) -> Advice | None:
    running = sorted({name for name in _names(board).values() if name in DESKTOPS})
    if not running:
        return None
    return Advice(
        name="desktop",
        current=", ".join(running),
        wanted="none",
        why="it draws, holds the GPU and takes memory",
        command="sudo systemctl isolate multi-user.target",
        by_hand="it ends every program that is open there; jetson_clocks must be run again afterwards",
    )


def busy_processes(board: BoardRoot, sleep: Callable[[float], None] = time.sleep) -> Advice:
    """Looks twice, a second apart; not at ourselves and those who started us."""
    before = _ticks(board)
    sleep(PROBE_S)
    ours = _lineage(board)
    names = _names(board)
    shares = {
        pid: (ticks - before[pid]) * tick_ns() / (PROBE_S * SECOND_NS)
        for pid, ticks in _ticks(board).items()
        if pid in before and pid not in ours
    }
    busy = sorted((pid for pid, share in shares.items() if share > BUSY_SHARE), key=lambda pid: -shares[pid])
    why = "what runs beside the variant takes its processor, its caches or its clock"
    if not busy:
        return Advice(name="busy processes", current="none", why=why)
    told = [f"{names.get(pid, '?')} ({pid}) {shares[pid]:.0%} of a processor" for pid in busy[:5]]
    return Advice(
        name="busy processes",
        current=", ".join(told),
        wanted="none",
        why=why,
        command=f"sudo kill {' '.join(str(pid) for pid in busy[:5])}",
        by_hand="only you know whether they are needed",
    )


def _pids(board: BoardRoot) -> list[int]:
    return [int(name) for name in board.names("proc") if name.isdigit()]


def _names(board: BoardRoot) -> dict[int, str]:
    names = {pid: board.text_or_none(f"proc/{pid}/comm") for pid in _pids(board)}
    return {pid: name for pid, name in names.items() if name}


def _stat(board: BoardRoot, pid: int) -> list[str]:
    """From field 3 on (proc(5)); empty where it is gone."""
    return (board.text_or_none(f"proc/{pid}/stat") or "").rpartition(")")[2].split()


def _ticks(board: BoardRoot) -> dict[int, int]:
    """User and system time of each process: fields 14 and 15."""
    stats = {pid: _stat(board, pid) for pid in _pids(board)}
    return {pid: int(fields[11]) + int(fields[12]) for pid, fields in stats.items() if len(fields) > 12}


def _lineage(board: BoardRoot) -> set[int]:
    """This process, its parent, and so on."""
    pid, ours = os.getpid(), set()
    while pid > 0 and pid not in ours:
        ours.add(pid)
        fields = _stat(board, pid)
        pid = int(fields[1]) if len(fields) > 1 else 0
    return ours
