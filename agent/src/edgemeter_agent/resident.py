"""Keeps the idle agent small in memory."""

from __future__ import annotations

import ctypes
import logging
import re
from collections.abc import Iterable
from pathlib import Path

_MADV_DONTNEED = 4
"""From linux/mman.h; for unmodified pages of a file it means: read them again when they are touched."""

_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+)")

log = logging.getLogger(__name__)


def release_code() -> None:
    """Unmaps the pages of program code, of which starting up touches far more than idling does.

    They stay in the page cache, where the kernel may take them when a model needs the room; what is
    still used comes back at the next touch. Some 10 MB of gRPC's and Python's code don't. What the agent
    holds for itself (its heap) is as large as before. Does nothing where the kernel does not tell enough.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    try:
        with Path("/proc/self/smaps").open(errors="replace") as smaps:
            mappings = clean_code(smaps)
    except OSError as error:
        log.debug("code is not released: %s", error)
        return
    for start, end in mappings:
        if libc.madvise(start, end - start, _MADV_DONTNEED) != 0:
            log.debug("madvise: errno %d", ctypes.get_errno())


def clean_code(smaps: Iterable[str]) -> list[tuple[int, int]]:
    """Addresses of the code in these lines of /proc/PID/smaps that is still what its file holds: pure.

    Code of a file is not enough: a loader relocates code that was built without -fPIC, as a debugger sets
    breakpoints in it, and such pages would lose that. They count as anonymous memory (proc_pid_smaps(5)).
    """
    found: list[tuple[int, int]] = []
    code: tuple[int, int] | None = None
    for line in smaps:
        mapping = _MAPPING.match(line)
        if mapping is not None:
            start, end, permissions, inode = mapping.groups()
            code = (int(start, 16), int(end, 16)) if permissions == "r-xp" and inode != "0" else None
        elif code is not None and line.split() == ["Anonymous:", "0", "kB"]:
            found.append(code)
    return found
