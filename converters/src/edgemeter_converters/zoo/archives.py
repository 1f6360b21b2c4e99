"""Members of archives by shell patterns: of wheels and zips, .deb, .tar.gz and .tgz, and of those within."""

from __future__ import annotations

import fnmatch
import io
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

DAMAGE = (zipfile.BadZipFile, tarfile.TarError, subprocess.CalledProcessError, EOFError, OSError)
"""What reading a broken archive raises."""

WITHIN = "!"
"""Between the pattern of an archive within an archive, and that of its members."""


def members(path: Path, patterns: tuple[str, ...]) -> dict[str, bytes]:
    """Contents of the archive's files that match, by their names without folders.

    "*.csv" matches in the archive itself; "data.zip!*.csv" in the archive data.zip that it holds.

    Raises:
        ValueError: two of the files have one name, or an archive is of no kind that is read here.
    """
    plain = tuple(pattern for pattern in patterns if WITHIN not in pattern)
    nested = [pattern.split(WITHIN, 1) for pattern in patterns if WITHIN in pattern]
    found: dict[str, bytes] = {}
    for name, content in _matching(path.name, path.read_bytes(), (*plain, *(outer for outer, _ in nested))):
        if _matches(name, plain):
            _add(found, name, content)
        inner = tuple(each for outer, each in nested if _matches(name, (outer,)))
        for inner_name, inner_content in _matching(name, content, inner) if inner else ():
            _add(found, inner_name, inner_content)
    return found


def _add(found: dict[str, bytes], name: str, content: bytes) -> None:
    short = PurePosixPath(name).name
    if short in found:
        raise ValueError(f"two files are named {short}: the patterns must tell them apart")
    found[short] = content


def _matching(name: str, content: bytes, patterns: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    if name.endswith((".whl", ".zip")):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for each in archive.namelist():
                if _matches(each, patterns) and not each.endswith("/"):
                    yield each, archive.read(each)
        return
    if name.endswith(".deb"):
        content = _tar_of_deb(content)
    elif not name.endswith((".tar.gz", ".tgz", ".tar")):
        raise ValueError(f"{name} is no archive of a kind that is read here")
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for member in tar:
            opened = tar.extractfile(member) if _matches(member.name, patterns) else None
            if opened is not None:
                yield member.name, opened.read()


def _tar_of_deb(content: bytes) -> bytes:
    unpacked = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", "/dev/stdin"], input=content, capture_output=True, check=True
    )
    return unpacked.stdout


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
