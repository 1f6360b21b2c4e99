"""Which processors this process may run on."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence


def pin(cpus: Sequence[int]) -> None:
    """Lets this thread, and threads that it starts from now on, run on these processors only; on all that it
    may where `cpus` is empty.

    Raises ValueError, a line for the user, where that is not to be had. The kernel takes a set of which only
    some exist or are allowed (sched_setaffinity(2)), and so we look at what came of it.
    """
    if not cpus:
        return
    if sys.platform != "linux":
        raise ValueError("affinity_cpus: this system can't pin a process to processors")
    before = os.sched_getaffinity(0)
    wanted = set(cpus)
    try:
        os.sched_setaffinity(0, wanted)
        refused = wanted - os.sched_getaffinity(0)
    except (OSError, OverflowError, ValueError):
        refused = wanted - before or wanted
    if refused:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, before)
        raise ValueError(
            f"affinity_cpus: processor {named(refused)} is not to be had;"
            f" this process may run on {named(before)}"
        )


def allowed_cpus() -> list[int]:
    """Ascending; empty where this system does not tell."""
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []


def named(cpus: set[int]) -> str:
    """ "0-3, 6": the way in which the kernel writes lists of processors."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][-1] + 1:
            runs[-1].append(cpu)
        else:
            runs.append([cpu])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
