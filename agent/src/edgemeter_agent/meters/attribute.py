"""Numbers of sysfs, and what their failures mean for a meter."""

from __future__ import annotations

import errno
import os

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import MeterError

LONGEST_NUMBER_BYTES = 64

_GONE = (errno.ENOENT, errno.ENODEV)
_FORBIDDEN = (errno.EACCES, errno.EPERM)


class Attribute:
    """One whole number in a file, read anew each time.

    The file is opened each time too: that of a device which went away and came back is another file.
    """

    __slots__ = ("_open", "_real_path", "path")

    def __init__(self, board: BoardRoot, relative: str) -> None:
        self.path = f"/{relative}"
        self._real_path = str(board.path(relative))
        self._open = board.opener

    def read(self) -> int:
        """Raises OSError as the driver does, and ValueError for what is no whole number."""
        descriptor = self._open(self._real_path)
        try:
            return int(os.read(descriptor, LONGEST_NUMBER_BYTES))
        finally:
            os.close(descriptor)


def fault_of(error: OSError | ValueError, where: str, remedy: str) -> str:
    """The fault of a reading that failed for this once: "EAGAIN", "ENODATA", "EIO", "rubbish", …

    Raises MeterError for what waiting does not mend: "meter_gone", and "meter_forbidden" with the remedy.
    """
    if isinstance(error, ValueError):
        return "rubbish"
    if error.errno in _GONE:
        raise MeterError("meter_gone", f"{where} is gone: the meter or its driver went away") from error
    if error.errno in _FORBIDDEN:
        raise MeterError("meter_forbidden", f"{where} may not be read: {remedy}") from error
    return errno.errorcode.get(error.errno or errno.EIO, "EIO")


def exists(board: BoardRoot, relative: str) -> bool:
    return board.path(relative).exists()


def forbidden(board: BoardRoot, relative: str) -> bool:
    """Whether the file is there and may not be opened. It is not read."""
    try:
        os.close(board.opener(str(board.path(relative))))
    except OSError as error:
        return error.errno in _FORBIDDEN
    return False
