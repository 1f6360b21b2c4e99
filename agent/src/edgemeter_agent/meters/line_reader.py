"""Lines out of a pipe or a socket, with a time limit and a longest line."""

from __future__ import annotations

import os
import select
import time
from collections import deque

_CHUNK_BYTES = 65536


class LineReader:
    """Reads a file descriptor that somebody else opened and will close."""

    def __init__(self, fd: int, max_line_bytes: int) -> None:
        self._fd = fd
        self._max_line_bytes = max_line_bytes
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._begun = b""
        self._too_long = False
        """What comes after the lines that were read is a line too long."""
        self._lines: deque[tuple[bytes, int]] = deque()
        self.received_ns = 0
        """CLOCK_MONOTONIC right after the last line returned came in."""

    def line(self, timeout_s: float) -> bytes | None:
        """The next line without its end, None where none came in time.

        Raises EOFError, with the reason where there is one, after the last line, and ValueError for a line
        that is too long.
        """
        due_s = time.monotonic() + timeout_s
        while not self._lines:
            if self._too_long:
                raise ValueError(f"a line has more than {self._max_line_bytes} bytes")
            wait_s = max(due_s - time.monotonic(), 0)
            if not self._poll.poll(wait_s * 1000):
                return None
            self._take()
        line, self.received_ns = self._lines.popleft()
        return line

    def _take(self) -> None:
        try:
            chunk = os.read(self._fd, _CHUNK_BYTES)
        except OSError as error:
            raise EOFError(error.strerror or str(error)) from None
        now_ns = time.monotonic_ns()
        if not chunk:
            raise EOFError
        *lines, self._begun = (self._begun + chunk).split(b"\n")
        for line in lines:
            if len(line) > self._max_line_bytes:
                self._too_long = True
                return
            self._lines.append((line.removesuffix(b"\r"), now_ns))
        self._too_long = len(self._begun) > self._max_line_bytes
