"""Raspberry Pi 5's own converters, asked through the mailbox and through vcgencmd."""

from __future__ import annotations

import errno
import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_agent.meters import MeterError, pi5_pmic, registry
from tests.boards import raspberry_pi
from tests.boards.raspberry_pi import PMIC, PMIC_TOTAL_W
from tests.boards.tree import Faults, plant
from tests.unit.agent.meters.looking import look, look_once, only, unusable

NAMES = st.from_regex(r"[0-9A-Z][0-9A-Z_]{0,11}", fullmatch=True)
MICROS = st.integers(0, 5_000_000)


class Firmware:
    """An ioctl: answers in the message, as the kernel's vcio does."""

    def __init__(self, answer: str, error: int = 0) -> None:
        self.answer = answer
        self.error = error
        self.asked: list[str] = []
        self.requests: set[int] = set()

    def __call__(self, descriptor: int, request: int, message: bytearray, mutate: bool) -> int:
        assert mutate
        os.fstat(descriptor)
        size, code, tag, buffer_bytes, _, _ = struct.unpack_from("=6I", message)
        assert (size, code, tag, buffer_bytes) == (1052, 0, 0x00030080, 1024)
        assert len(message) == size
        self.requests.add(request)
        self.asked.append(bytes(message[24:1048]).split(b"\0")[0].decode())
        message[24:1048] = self.answer.encode()[:1023].ljust(1024, b"\0")
        struct.pack_into("=I", message, 4, 0x80000000)
        struct.pack_into("=I", message, 20, self.error)
        return 0


def test_the_sum_of_a_real_answer() -> None:
    powers = pi5_pmic.rails_mw(PMIC)
    assert tuple(powers) == pi5_pmic.KNOWN_RAILS
    assert sum(powers.values()) / 1000 == pytest.approx(PMIC_TOTAL_W, abs=0.0005)
    assert powers["VDD_CORE"] == pytest.approx(1370.706, abs=0.001)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("\n".join(line.strip() for line in PMIC.splitlines()), id="no leading spaces"),
        pytest.param(PMIC.replace("\n", "   "), id="two columns on a line"),
        pytest.param("\n".join(reversed(PMIC.splitlines())), id="voltages first"),
        pytest.param(PMIC + "\n    EXTRA_V volt(30)=1.0", id="cut off in the middle of a number"),
    ],
)
def test_the_form_of_the_lines_does_not_matter(answer: str) -> None:
    assert sum(pi5_pmic.rails_mw(answer).values()) / 1000 == pytest.approx(PMIC_TOTAL_W, abs=0.0005)


@given(st.dictionaries(NAMES, st.tuples(MICROS, MICROS), min_size=1), st.randoms(use_true_random=False))
def test_rails_are_joined_by_name_whatever_the_order(
    rails: dict[str, tuple[int, int]], random: object
) -> None:
    lines = [f" {name}_A current({n})={a / 1e6:.8f}A" for n, (name, (a, _)) in enumerate(rails.items())]
    lines += [f" {name}_V volt({n + 40})={v / 1e6:.8f}V" for n, (name, (_, v)) in enumerate(rails.items())]
    random.shuffle(lines)  # type: ignore[attr-defined]
    powers = pi5_pmic.rails_mw("\n".join(lines))
    assert powers == {name: pytest.approx(a * v / 1e9, abs=1e-9) for name, (a, v) in rails.items()}


@given(st.text())
def test_rubbish_is_refused_or_has_rails(text: str) -> None:
    try:
        powers = pi5_pmic.rails_mw(text)
    except ValueError:
        return
    assert powers


@pytest.mark.parametrize(
    ("answer", "said"),
    [(raspberry_pi.NO_PMIC, "Command not registered"), ("", "empty"), ("EXT5V_V volt(24)=4.9V", "EXT5V_V")],
)
def test_an_answer_without_rails_says_what_it_was(answer: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        pi5_pmic.rails_mw(answer)


def test_vcgencmd_where_there_is_no_mailbox(tmp_path: Path) -> None:
    meter = only(pi5_pmic.find(raspberry_pi.pi5(tmp_path)))
    said = meter.description
    assert (said.name, said.coverage) == ("pmic", "SoC and board rails, not USB/5 V")
    assert said.rate_hz <= 10
    assert "vcgencmd" in said.detail
    reading = look_once(meter)
    assert reading.total_mw == pytest.approx(3507, abs=0.5)
    assert len(reading.rails_mw) == len(said.rails) == 12


@pytest.mark.parametrize("device", ["dev/vcio_gencmd", "dev/vcio"])
def test_the_mailbox_comes_first(tmp_path: Path, device: str) -> None:
    board = raspberry_pi.pi5(tmp_path)
    plant(tmp_path, {device: ""})
    firmware = Firmware(PMIC.replace("1.54489000A", "2.54489000A"))
    meter = only(pi5_pmic.find(board, firmware))
    assert "mailbox" in meter.description.detail
    assert meter.description.rate_hz <= 10
    total_mw = look_once(meter).total_mw
    assert total_mw == pytest.approx(3507 + 887.25, abs=0.5)
    assert set(firmware.asked) == {"pmic_read_adc"}
    # _IOWR(100, 0, char *) of this interpreter
    assert firmware.requests == {0xC0046400 if struct.calcsize("P") == 4 else 0xC0086400}


def test_nothing_is_held_between_readings(tmp_path: Path) -> None:
    board = raspberry_pi.pi5(tmp_path)
    plant(tmp_path, {"dev/vcio": ""})
    before = len(list(Path("/proc/self/fd").iterdir()))
    meter = only(pi5_pmic.find(board, Firmware(PMIC)))
    look(meter, 2)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("replaced", "detail"),
    [
        (("HDMI_A", "HDMI_X"), "11 rails; without HDMI"),
        (("BATT_V volt(25)", "NEW_A current(26)=0.1A  NEW_V volt(25)"), "13 rails; also NEW, unknown here"),
    ],
)
def test_other_rails_than_usual_are_taken_and_said(
    tmp_path: Path, replaced: tuple[str, str], detail: str
) -> None:
    meter = only(pi5_pmic.find(raspberry_pi.pi5(tmp_path, pmic=PMIC.replace(*replaced))))
    assert meter.description.detail.endswith(detail)
    assert look_once(meter).total_mw is not None


def test_a_rail_that_vanishes_is_a_fault_and_not_a_smaller_total(tmp_path: Path) -> None:
    board = raspberry_pi.pi5(tmp_path)
    meter = only(pi5_pmic.find(board))
    raspberry_pi.pi5(tmp_path, pmic=PMIC.replace("VDD_CORE_A", "VDD_CORE_X"))
    reading = look_once(meter)
    assert (reading.total_mw, reading.fault) == (None, "missing_rail")


def test_faults_while_reading(tmp_path: Path) -> None:
    board = raspberry_pi.pi5(tmp_path, with_vcgencmd=False)
    plant(tmp_path, {"dev/vcio": ""})
    firmware = Firmware(PMIC)
    meter = only(pi5_pmic.find(board, firmware))
    firmware.error = 1
    assert look_once(meter).fault == "EIO"
    firmware.error, firmware.answer = 0, raspberry_pi.NO_PMIC
    assert look_once(meter).fault == "rubbish"
    (tmp_path / "dev/vcio").unlink()
    with pytest.raises(MeterError) as failed:
        look_once(meter)
    assert failed.value.code == "meter_gone"


def test_without_permission_it_names_the_group(tmp_path: Path) -> None:
    board = raspberry_pi.pi5(tmp_path, with_vcgencmd=False)
    plant(tmp_path, {"dev/vcio_gencmd": ""})
    each = unusable(pi5_pmic.find(replace(board, opener=Faults({"vcio_gencmd": errno.EACCES}))))
    assert "group video" in each.reason


def test_without_any_way_to_ask_it_names_what_to_install(tmp_path: Path) -> None:
    each = unusable(pi5_pmic.find(raspberry_pi.pi5(tmp_path, with_vcgencmd=False)))
    assert "raspi-utils" in each.reason


def test_a_pi_4_has_no_meter_and_starts_no_program_to_know(tmp_path: Path) -> None:
    board = raspberry_pi.pi4(tmp_path)
    (tmp_path / "bin/vcgencmd").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    assert registry.find(board) == []
    assert not (tmp_path / "started").exists()
