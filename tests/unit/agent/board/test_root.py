from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from edgemeter_agent.board.root import BoardRoot, SteadyRoot

Plant = Callable[[dict[str, str]], BoardRoot]


def test_numbers_in_names_sort_by_value(plant: Plant) -> None:
    board = plant({f"sys/zone{number}/temp": "1" for number in (10, 2, 1)} | {"sys/zone/temp": "1"})
    assert board.glob("sys/zone*") == ["sys/zone", "sys/zone1", "sys/zone2", "sys/zone10"]


def test_device_tree_strings_lose_their_nul(plant: Plant) -> None:
    assert plant({"model": "A board\0"}).text("model") == "A board"


def test_absent_empty_and_wrong_are_none_and_never_zero(plant: Plant) -> None:
    board = plant({"empty": "", "word": "off\n"})
    assert board.number_or_none("absent") is None
    assert board.number_or_none("empty") is None
    assert board.number_or_none("word") is None


def test_a_program_that_fails_says_its_last_line(plant: Plant) -> None:
    board = plant({"bin/tool": "#!/bin/sh\necho first >&2; echo no permission >&2; exit 3\n"})
    with pytest.raises(OSError, match="tool: no permission"):
        board.program_output("tool")


def test_a_program_is_looked_for_in_the_tree_only(plant: Plant) -> None:
    with pytest.raises(FileNotFoundError, match="no program sh"):
        plant({"etc/x": ""}).program_output("sh", "-c", "echo hello")


def test_what_may_not_be_run_is_no_program(plant: Plant) -> None:
    board = plant({"bin/tool": "#!/bin/sh\n"})
    board.path("bin/tool").chmod(stat.S_IRUSR)
    with pytest.raises(FileNotFoundError):
        board.program_output("tool")


def test_a_steady_board_looks_for_sensors_once_and_reads_them_anew(tmp_path: Path) -> None:
    zone = tmp_path / "sys/zone0"
    zone.parent.mkdir()
    zone.write_text("1")
    board = SteadyRoot(tmp_path)
    assert board.glob("sys/zone*") == ["sys/zone0"]
    (tmp_path / "sys/zone1").write_text("2")
    zone.write_text("3")
    assert board.glob("sys/zone*") == ["sys/zone0"]
    assert board.number("sys/zone0") == 3
    # what comes and goes
    assert sorted(board.names("sys")) == ["zone0", "zone1"]
    assert board.names("nothing") == []
    assert SteadyRoot(tmp_path).glob("sys/zone*") == ["sys/zone0", "sys/zone1"]


def test_a_setting_is_written_and_never_made(tmp_path: Path) -> None:
    board = BoardRoot(tmp_path)
    (tmp_path / "setting").write_text("longer than what comes\n")
    board.write("setting", "1")
    assert board.text("setting") == "1"
    with pytest.raises(FileNotFoundError):
        board.write("no_setting", "1")
    assert not (tmp_path / "no_setting").exists()
