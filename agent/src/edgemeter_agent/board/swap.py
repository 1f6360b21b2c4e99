"""Swap: memory that was moved out, and pages that move meanwhile."""

from __future__ import annotations

import re

from edgemeter_agent.board.root import BoardRoot, Reading, reason


def used_bytes(board: BoardRoot) -> Reading[int]:
    """From /proc/meminfo, zram counted like a disk (proc(5))."""
    try:
        text = board.text("proc/meminfo")
    except OSError as error:
        return Reading(value=None, detail=reason(error, "/proc/meminfo"))
    sizes = {
        key: int(kilobytes) for key, kilobytes in re.findall(r"^(Swap\w+):\s+(\d+) kB$", text, re.MULTILINE)
    }
    if "SwapTotal" not in sizes or "SwapFree" not in sizes:
        return Reading(value=None, detail="/proc/meminfo has no SwapTotal and SwapFree: kernel without swap")
    return Reading(value=(sizes["SwapTotal"] - sizes["SwapFree"]) * 1024, detail="/proc/meminfo")


def swapped_pages(board: BoardRoot) -> Reading[int]:
    """Pages that the whole board swapped in or out since it started: pswpin and pswpout of /proc/vmstat."""
    try:
        text = board.text("proc/vmstat")
    except OSError as error:
        return Reading(value=None, detail=reason(error, "/proc/vmstat"))
    pages = re.findall(r"^pswp(?:in|out) (\d+)$", text, re.MULTILINE)
    if not pages:
        return Reading(value=None, detail="/proc/vmstat has no pswpin: kernel without swap")
    return Reading(value=sum(map(int, pages)), detail="/proc/vmstat pswpin and pswpout")


def devices(board: BoardRoot) -> list[str]:
    """What is swapped to: "/dev/zram0", "/var/swap" (proc(5), /proc/swaps)."""
    lines = (board.text_or_none("proc/swaps") or "").splitlines()[1:]
    return [line.split()[0] for line in lines if line.strip()]
