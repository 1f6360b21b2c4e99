from __future__ import annotations

import ctypes
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import MeterError
from edgemeter_agent.meters.i2c_bus import I2C_M_RD, I2C_RDWR, I2C_SLAVE, I2cTransfer, LinuxI2c
from tests.unit.agent.meters.simulated_ina import SimulatedIna


class Kernel:
    """The two ioctls, over the memory that the caller points to."""

    def __init__(self, chip: SimulatedIna, address: int, taken: bool = False) -> None:
        self.chip, self.address, self.taken = chip, address, taken

    def __call__(self, _fd: int, request: int, argument: Any) -> int:
        if request == I2C_SLAVE:
            if self.taken:
                raise OSError(errno.EBUSY, "Device or resource busy")
            assert argument == self.address
            return 0
        assert request == I2C_RDWR
        assert isinstance(argument, I2cTransfer)
        messages = [argument.msgs[n] for n in range(argument.nmsgs)]
        assert all(message.addr == self.address for message in messages)
        sent = ctypes.string_at(messages[0].buf, messages[0].len)
        assert messages[0].flags == 0
        if len(messages) == 2:
            assert messages[1].flags == I2C_M_RD
            answer = self.chip.read(sent[0], messages[1].len)
            ctypes.memmove(messages[1].buf, answer, len(answer))
        else:
            self.chip.write(sent[0], sent[1:])
        return len(messages)


@pytest.fixture
def board(tmp_path: Path) -> BoardRoot:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/i2c-1").touch()
    return BoardRoot(tmp_path)


def test_transfers_as_the_kernel_takes_them(board: BoardRoot) -> None:
    chip = SimulatedIna("ina226", lambda _: 5.0, lambda _: 1.0)
    bus = LinuxI2c(board, 1, 0x40, Kernel(chip, 0x40))
    assert bus.read(0xFE, 2) == b"TI"
    bus.write(0x05, b"\x08\x00")
    assert chip.registers[0x05] == 0x0800
    assert bus.read(0x05, 2) == b"\x08\x00"
    bus.close()
    bus.close()


def test_a_chip_of_the_kernel_is_left_alone(board: BoardRoot) -> None:
    chip = SimulatedIna("ina226", lambda _: 5.0, lambda _: 1.0)
    with pytest.raises(MeterError, match="a kernel driver has the chip at 0x40; read it through hwmon"):
        LinuxI2c(board, 1, 0x40, Kernel(chip, 0x40, taken=True))


def refuse(number: int) -> Callable[..., int]:
    def ioctl(*_: object) -> int:
        raise OSError(number, "no")

    return ioctl


def test_without_permission_it_says_the_group(board: BoardRoot) -> None:
    with pytest.raises(MeterError, match="add the user to group i2c") as refused:
        LinuxI2c(board, 1, 0x40, refuse(errno.EACCES))
    assert refused.value.code == "meter_forbidden"


def test_a_bus_that_is_not_there(board: BoardRoot) -> None:
    with pytest.raises(MeterError, match="there is no /dev/i2c-7: switch I2C on") as refused:
        LinuxI2c(board, 7, 0x40)
    assert refused.value.code == "meter_unreachable"


def test_a_file_that_is_no_bus(board: BoardRoot) -> None:
    """The real ioctl, on a file that answers no such call."""
    with pytest.raises(MeterError) as refused:
        LinuxI2c(board, 1, 0x40)
    assert refused.value.code == "meter_unreachable"
    assert "/dev/i2c-1" in refused.value.detail
