"""The mailbox of a Raspberry Pi's firmware: what `vcgencmd` asks, without starting a process."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable

from edgemeter_agent.board.root import BoardRoot

DEVICES = ("dev/vcio_gencmd", "dev/vcio")
"""The first one, of newer kernels, can do nothing but this."""

GET_GENCMD_RESULT = 0x00030080
MAX_TEXT_BYTES = 1024
PROPERTY_CALL = 3 << 30 | struct.calcsize("P") << 16 | 100 << 8
"""_IOWR(100, 0, char *), as vcgencmd.c of raspberrypi/utils has it."""

Control = Callable[[int, int, bytearray, bool], int]
"""fcntl.ioctl."""


def ask(board: BoardRoot, command: str, control: Control = fcntl.ioctl) -> str:
    """The firmware's answer to a command ("measure_clock arm"). Raises OSError; FileNotFoundError where there
    is no mailbox.

    The message, in words of 32 bits: its size, a request code, the tag, the size of the text, its length, the
    firmware's error, the text, an end.
    """
    text = command.encode()
    words = struct.pack("<6I", 0, 0, GET_GENCMD_RESULT, MAX_TEXT_BYTES, 0, 0)
    message = bytearray(words + text.ljust(MAX_TEXT_BYTES, b"\0") + bytes(4))
    struct.pack_into("<I", message, 0, len(message))
    descriptor = _open(board)
    try:
        control(descriptor, PROPERTY_CALL, message, True)
    finally:
        os.close(descriptor)
    (error,) = struct.unpack_from("<I", message, 20)
    if error:
        raise OSError(f"the firmware refused {command!r}: error {error}")
    answer = bytes(message[24 : 24 + MAX_TEXT_BYTES])
    return answer.partition(b"\0")[0].decode(errors="replace").strip()


def _open(board: BoardRoot) -> int:
    missing = FileNotFoundError(f"no /{DEVICES[-1]}")
    for device in DEVICES:
        try:
            return board.opener(str(board.path(device)))
        except FileNotFoundError:
            continue
    raise missing
