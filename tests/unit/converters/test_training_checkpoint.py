from __future__ import annotations

from pathlib import Path

import pytest

from edgemeter_converters.training import checkpoint

SETTINGS = {"epochs": 3, "seed": 1}


def test_what_was_written_last_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there" / "yet"
    checkpoint.write(folder, SETTINGS, b"one")
    checkpoint.write(folder, SETTINGS, b"two")
    found = checkpoint.read(folder, dict(reversed(SETTINGS.items())))
    assert (found.payload, found.note) == (b"two", "")
    assert [path.name for path in folder.iterdir()] == [checkpoint.FILE_NAME]


def test_an_empty_folder_is_nothing_to_speak_of(tmp_path: Path) -> None:
    assert checkpoint.read(tmp_path, SETTINGS) == checkpoint.Found()
    assert checkpoint.read(tmp_path / "none", SETTINGS) == checkpoint.Found()


def test_that_of_another_run_is_not_used(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, SETTINGS, b"one")
    found = checkpoint.read(tmp_path, SETTINGS | {"seed": 2})
    assert found.payload is None
    assert "other settings" in found.note


@pytest.mark.parametrize("at", [0, 30, 60, -1])
def test_a_changed_byte_is_seen(tmp_path: Path, at: int) -> None:
    checkpoint.write(tmp_path, SETTINGS, b"weights and what else there is")
    file = tmp_path / checkpoint.FILE_NAME
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)
    found = checkpoint.read(tmp_path, SETTINGS)
    assert found.payload is None
    assert found.note


@pytest.mark.parametrize("length", [0, 5, 40, 100])
def test_half_a_file_is_seen(tmp_path: Path, length: int) -> None:
    checkpoint.write(tmp_path, SETTINGS, b"weights and what else there is")
    file = tmp_path / checkpoint.FILE_NAME
    file.write_bytes(file.read_bytes()[:length])
    found = checkpoint.read(tmp_path, SETTINGS)
    assert found.payload is None
    assert "damaged" in found.note


def test_a_writer_that_died_leaves_the_one_before(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, SETTINGS, b"one")
    (tmp_path / f".{checkpoint.FILE_NAME}.new").write_bytes(b"half of t")
    assert checkpoint.read(tmp_path, SETTINGS).payload == b"one"
