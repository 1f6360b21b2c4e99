"""Keeps the idle agent small in memory."""

from __future__ import annotations

import ctypes
import logging
from pathlib import Path

_MADV_DONTNEED = 4
"""From linux/mman.h; for unmodified pages of a file it means: read them again when they are touched."""

log = logging.getLogger(__name__)


def release_code() -> None:
    """Unmaps the pages of program code, of which starting up touches far more than idling does.

    They stay in the page cache, where the kernel may take them when a model needs the room; what is
    still used comes back at the next touch. Some 10 MB of gRPC's and Python's code don't.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, permissions, _, _, inode, *_ = line.split()
        # Code of a file, never written to. Read-only data is left alone: the loader may have relocated it.
        if permissions == "r-xp" and inode != "0":
            start, end = (int(part, 16) for part in addresses.split("-"))
            if libc.madvise(start, end - start, _MADV_DONTNEED) != 0:
                log.debug("madvise: errno %d", ctypes.get_errno())
