"""Registers of a chip on an I2C bus, through Linux's /dev/i2c-N (Documentation/i2c/dev-interface.rst)."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Callable
from typing import Any, Protocol

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import MeterError

# <linux/i2c-dev.h>, <linux/i2c.h>
I2C_SLAVE = 0x0703
I2C_RDWR = 0x0707
I2C_M_RD = 0x0001


class RegisterBus(Protocol):
    """One chip's registers: an 8-bit pointer, then bytes, most significant first. Raises OSError."""

    def read(self, register: int, length: int) -> bytes: ...

    def write(self, register: int, value: bytes) -> None: ...

    def close(self) -> None: ...


class I2cMessage(ctypes.Structure):
    """struct i2c_msg"""

    _fields_ = (
        ("addr", ctypes.c_uint16),
        ("flags", ctypes.c_uint16),
        ("len", ctypes.c_uint16),
        ("buf", ctypes.POINTER(ctypes.c_char)),
    )


class I2cTransfer(ctypes.Structure):
    """struct i2c_rdwr_ioctl_data"""

    _fields_ = (("msgs", ctypes.POINTER(I2cMessage)), ("nmsgs", ctypes.c_uint32))


class LinuxI2c:
    """A RegisterBus."""

    def __init__(
        self, board: BoardRoot, bus: int, address: int, ioctl: Callable[[int, int, Any], Any] = fcntl.ioctl
    ) -> None:
        """Raises MeterError where the bus can't be opened or the kernel's own driver has the chip."""
        self._address = address
        self._ioctl = ioctl
        device = f"/dev/i2c-{bus}"
        try:
            self._fd = os.open(board.path(device), os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise _not_opened(device, error) from None
        try:
            # I2C_RDWR alone would also reach a chip that a driver is at work with.
            ioctl(self._fd, I2C_SLAVE, address)
        except OSError as error:
            os.close(self._fd)
            if error.errno == errno.EBUSY:
                raise MeterError(
                    "meter_unreachable",
                    f"{device}: a kernel driver has the chip at {address:#04x};"
                    " read it through hwmon (edgemeter-agent meter ls)",
                ) from None
            raise _not_opened(device, error) from None

    def read(self, register: int, length: int) -> bytes:
        pointer = ctypes.create_string_buffer(bytes([register]), 1)
        answer = ctypes.create_string_buffer(length)
        # One transfer with a repeated start, so that no other program's comes between.
        self._transfer((0, pointer), (I2C_M_RD, answer))
        return answer.raw

    def write(self, register: int, value: bytes) -> None:
        self._transfer((0, ctypes.create_string_buffer(bytes([register]) + value, 1 + len(value))))

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _transfer(self, *parts: tuple[int, ctypes.Array[ctypes.c_char]]) -> None:
        messages = (I2cMessage * len(parts))(
            *(
                I2cMessage(
                    addr=self._address,
                    flags=flags,
                    len=len(buffer),
                    buf=ctypes.cast(buffer, ctypes.POINTER(ctypes.c_char)),
                )
                for flags, buffer in parts
            )
        )
        self._ioctl(self._fd, I2C_RDWR, I2cTransfer(msgs=messages, nmsgs=len(parts)))


def _not_opened(device: str, error: OSError) -> MeterError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return MeterError("meter_forbidden", f"{device} may not be opened: add the user to group i2c")
    if error.errno in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        return MeterError(
            "meter_unreachable",
            f"there is no {device}: switch I2C on (modprobe i2c-dev; on a Raspberry Pi dtparam=i2c_arm=on)",
        )
    return MeterError("meter_unreachable", f"{device}: {error.strerror or error}")
