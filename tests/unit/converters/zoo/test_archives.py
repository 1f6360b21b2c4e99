"""Members of archives, by patterns."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from edgemeter_converters.zoo import archives

FILES = {"package/data/a.csv": b"1,2", "package/data/b.txt": b"text", "package/code.py": b"import os"}


def a_zip(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def a_tar(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("package-1.0-py3-none-any.whl", a_zip(FILES)),
        ("package-1.0.tar.gz", a_tar(FILES)),
        ("package-1.0.tgz", a_tar(FILES)),
        ("package.tar", a_tar(FILES, "w")),
    ],
)
def test_takes_what_matches(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert archives.members(path, ("*/data/*",)) == {"a.csv": b"1,2", "b.txt": b"text"}
    assert archives.members(path, ("*.csv", "*/code.py")) == {"a.csv": b"1,2", "code.py": b"import os"}
    assert archives.members(path, ("*.json",)) == {}


def test_takes_what_an_archive_within_holds(tmp_path: Path) -> None:
    path = tmp_path / "outer.tar.gz"
    inner = a_zip({"deep/a.csv": b"3,4", "deep/b.csv": b"5,6"})
    path.write_bytes(a_tar({"package/data.zip": inner, "package/readme.txt": b"read me"}))
    taken = archives.members(path, ("*/data.zip!*/a.csv", "*/readme.txt"))
    assert taken == {"a.csv": b"3,4", "readme.txt": b"read me"}


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")
def test_takes_from_debians_packages(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        "Package: things\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\n"
        "Description: things\n"
    )
    (root / "usr" / "share").mkdir(parents=True)
    (root / "usr" / "share" / "thing").write_bytes(b"a thing")
    path = tmp_path / "things_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", root, path], check=True, capture_output=True)
    assert archives.members(path, ("*/share/thing",)) == {"thing": b"a thing"}


def test_refuses_two_files_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(a_zip({"x/a.csv": b"1", "y/a.csv": b"2"}))
    with pytest.raises(ValueError, match=r"two files are named a\.csv"):
        archives.members(path, ("*.csv",))


@pytest.mark.parametrize("name", ["broken.whl", "broken.tar.gz", "broken.deb"])
def test_what_a_broken_archive_raises_is_known(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"no archive at all")
    with pytest.raises(archives.DAMAGE):
        archives.members(path, ("*",))
