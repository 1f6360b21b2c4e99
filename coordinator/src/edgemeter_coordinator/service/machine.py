"""What this machine, or the control group that the coordinator is confined to, has for conversions."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def cpu_count() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def memory_bytes() -> int:
    """The machine's memory, or the control group's limit where that is lower."""
    return min([psutil.virtual_memory().total, *_cgroup_limits()])


def _cgroup_limits() -> list[int]:
    limits = []
    for path in CGROUP_LIMITS:
        try:
            text = path.read_text().strip()
        except OSError:
            continue  # another version of control groups, or none
        if text.isdecimal():  # "max" is no limit
            limits.append(int(text))
    return limits
