"""The firmware's mailbox, whose ioctl a function stands in for."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from edgemeter_agent.board import mailbox, processor, throttling
from edgemeter_agent.board.root import BoardRoot

Plant = Callable[[dict[str, str]], BoardRoot]
CPUFREQ = "sys/devices/system/cpu/cpufreq"


class Firmware:
    """Answers as the firmware does, in place."""

    def __init__(self, answers: dict[str, str], error: int = 0) -> None:
        self.answers, self.error = answers, error

    def __call__(self, descriptor: int, number: int, message: bytearray, mutate: bool) -> int:
        assert descriptor > 2
        assert mutate
        # _IOWR(100, 0, char *): read and write, a pointer's size, the letter 100, call 0.
        assert number == 3 << 30 | struct.calcsize("P") << 16 | 100 << 8
        size, request, tag, room = struct.unpack_from("<4I", message)
        assert (size, request, tag, room) == (len(message), 0, 0x00030080, 1024)
        command = bytes(message[24:]).partition(b"\0")[0].decode()
        struct.pack_into("<I", message, 20, self.error)
        answer = self.answers[command].encode()
        message[24 : 24 + len(answer) + 1] = answer + b"\0"
        return 0


def test_a_command_and_its_answer(plant: Plant) -> None:
    board = plant({"dev/vcio": ""})
    firmware = Firmware({"get_throttled": "throttled=0x50000\n"})
    assert mailbox.ask(board, "get_throttled", firmware) == "throttled=0x50000"


def test_the_narrow_device_comes_first(plant: Plant) -> None:
    board = plant({"dev/vcio_gencmd": ""})
    assert mailbox.ask(board, "x", Firmware({"x": "y"})) == "y"


def test_a_refusal(plant: Plant) -> None:
    with pytest.raises(OSError, match="refused 'x': error 1"):
        mailbox.ask(plant({"dev/vcio": ""}), "x", Firmware({"x": ""}, error=1))


def test_without_a_device(plant: Plant) -> None:
    with pytest.raises(FileNotFoundError):
        mailbox.ask(plant({}), "x")


def test_a_file_that_is_no_mailbox(plant: Plant) -> None:
    with pytest.raises(OSError, match="ioctl"):
        mailbox.ask(plant({"dev/vcio": ""}), "x")


def test_a_pis_measured_clock_and_bits_start_no_process(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = plant(
        {
            "dev/vcio": "",
            # what the governor asked for, and the firmware does not give
            f"{CPUFREQ}/policy0/scaling_cur_freq": "1800000\n",
            "bin/vcgencmd": "#!/bin/sh\nexit 1\n",
        }
    )
    firmware = Firmware({"measure_clock arm": "frequency(0)=600117184", "get_throttled": "throttled=0x4"})
    ask = mailbox.ask
    monkeypatch.setattr(mailbox, "ask", lambda board, command: ask(board, command, firmware))
    clocks = processor.clocks_hz(board)
    assert clocks.value == {"policy0": 1_800_000_000, "arm": 600_117_184}
    assert processor.frequency_hz(board).value == 600_117_184
    assert throttling.throttled_bits(board).value == 4
