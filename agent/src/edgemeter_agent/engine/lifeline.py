"""Not outliving the process that wants the measurement."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import BinaryIO

PR_SET_PDEATHSIG = 1
GRACE_S = 3.0


def die_with_parent(parent_pid: int, sent: signal.Signals) -> None:
    """Has the kernel send a signal when the thread that started this process ends (prctl(2)).

    Exits at once where the parent is gone already. Where there is no such call, the closed pipe tells.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(sent))
        if os.getppid() != parent_pid:
            raise SystemExit(1)


def end_when_closed(reader: BinaryIO) -> None:
    """Watches in a thread: when the other end of `reader` closes, this process gets SIGTERM, and is ended
    without more ado if it is still there after 3 s."""

    def watch() -> None:
        while reader.read(1):
            pass  # nothing more is expected; whatever comes is not ours
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_S)
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


@contextlib.contextmanager
def orderly_termination() -> Iterator[None]:
    """SIGTERM unwinds the stack, so that variant processes are ended and the governor is put back."""

    def leave(number: int, _frame: FrameType | None) -> None:
        # A second one must not interrupt the clean-up.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
