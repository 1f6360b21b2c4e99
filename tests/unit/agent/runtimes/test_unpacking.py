"""Artifacts that are folders: unpacked once, and nowhere else than beside their .zip."""

from __future__ import annotations

import random
import stat
import zipfile
from pathlib import Path

import pytest

from edgemeter_agent.runtimes import unpacking
from edgemeter_agent.runtimes.unpacked_folder import folder_of
from edgemeter_agent.runtimes.unpacking import unpacked

FILES = {"genai_config.json": b"{}", "deeper/model.onnx": random.Random(0).randbytes(100_000)}


def packed(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_it_is_unpacked_beside_its_archive_and_only_once(tmp_path: Path) -> None:
    archive = packed(tmp_path / "model.zip", FILES)
    folder = unpacked(archive)
    assert folder == tmp_path / "model.zip.unpacked" == folder_of(archive)
    assert contents(folder) == FILES
    before = folder.stat().st_ino
    assert unpacked(archive).stat().st_ino == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.zip", "model.zip.unpacked"]


@pytest.mark.parametrize("what", ["damaged", "missing", "more", "other archive"])
def test_a_folder_that_is_not_the_archives_is_replaced(what: str, tmp_path: Path) -> None:
    archive = packed(tmp_path / "model.zip", FILES)
    folder = unpacked(archive)
    wanted = FILES
    if what == "damaged":
        (folder / "deeper/model.onnx").write_bytes(b"\0" * len(FILES["deeper/model.onnx"]))
    elif what == "missing":
        (folder / "genai_config.json").unlink()
    elif what == "more":
        (folder / "custom.so").write_bytes(b"code")
    else:
        wanted = {"genai_config.json": b"[]"}
        packed(archive, wanted)
    assert contents(unpacked(archive)) == wanted


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "..\\evil"])
def test_nothing_is_written_outside(name: str, tmp_path: Path) -> None:
    archive = packed(tmp_path / "model.zip", {"fine": b"1", name: b"2"})
    with pytest.raises(ValueError, match="would lie outside its folder"):
        unpacked(archive)
    assert [path.name for path in tmp_path.iterdir()] == ["model.zip"]


def test_a_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ValueError, match="'link' is no plain file"):
        unpacked(tmp_path / "model.zip")


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    archive = packed(tmp_path / "model.zip", {"zeros": bytes(50_000_000)})
    with pytest.raises(ValueError, match="would become 50000000"):
        unpacked(archive)


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MAX_FILES", 1)
    with pytest.raises(ValueError, match="has 2 files; 1 are allowed"):
        unpacked(packed(tmp_path / "model.zip", FILES))


def test_what_is_no_archive_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "model.zip").write_bytes(b"hello")
    with pytest.raises(ValueError, match=r"^model\.zip can't be unpacked: File is not a zip file$"):
        unpacked(tmp_path / "model.zip")


def test_a_damaged_archive_leaves_no_folder(tmp_path: Path) -> None:
    archive = packed(tmp_path / "model.zip", FILES)
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.zip can't be unpacked"):
        unpacked(archive)
    assert [path.name for path in tmp_path.iterdir()] == ["model.zip"]
