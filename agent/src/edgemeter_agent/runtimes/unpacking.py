"""An artifact that is a folder travels as a .zip, and is unpacked beside it, once."""

from __future__ import annotations

import contextlib
import shutil
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from edgemeter_agent.runtimes.unpacked_folder import folder_of

MAX_FILES = 256
MAX_GROWTH = 20
"""Of all files together, over the .zip: weights hardly shrink, and a tokenizer's text does tenfold."""
READ_BYTES = 1 << 20


def unpacked(archive: Path) -> Path:
    """The folder with the files of a .zip. One that is there and holds them, by their sizes and checksums, is
    taken as it is; another is replaced.

    Raises ValueError, one line, for what is no .zip or not one of plain files in its own folders, and OSError
    where there is no room or it may not be written.
    """
    folder = folder_of(archive)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _checked(opened.infolist(), archive.stat().st_size)
            if _holds(folder, members):
                return folder
            _unpack(opened, members, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{archive.name} can't be unpacked: {error}") from None
    return folder


def _checked(members: list[zipfile.ZipInfo], archive_bytes: int) -> list[zipfile.ZipInfo]:
    """The files among them. Raises ValueError, one line."""
    files = [member for member in members if not member.is_dir()]
    if len(files) > MAX_FILES:
        raise ValueError(f"the .zip has {len(files)} files; {MAX_FILES} are allowed")
    total = sum(member.file_size for member in files)
    if total > MAX_GROWTH * archive_bytes:
        raise ValueError(f"the .zip's {archive_bytes} bytes would become {total}: that is no model")
    names = [PurePosixPath(member.filename) for member in files]
    if len(set(names)) < len(names):
        raise ValueError("the .zip has two files of one name")
    for member, name in zip(files, names, strict=True):
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise ValueError(f"the .zip's {member.filename!r} is no plain file")
        if name.is_absolute() or ".." in name.parts or not name.parts or "\\" in member.filename:
            raise ValueError(f"the .zip's {member.filename!r} would lie outside its folder")
    return files


def _holds(folder: Path, members: list[zipfile.ZipInfo]) -> bool:
    """Whether these files are there, and nothing else: cards rot, and a .zip may have been replaced."""
    if not folder.is_dir():
        return False
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    return there == {member.filename for member in members} and all(
        _is(folder / member.filename, member) for member in members
    )


def _is(path: Path, member: zipfile.ZipInfo) -> bool:
    if path.is_symlink() or path.stat().st_size != member.file_size:
        return False
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            checksum = zlib.crc32(block, checksum)
    return checksum == member.CRC


def _unpack(opened: zipfile.ZipFile, members: list[zipfile.ZipInfo], folder: Path) -> None:
    """Under another name first: half a folder is none."""
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for member in members:
            path = made / member.filename
            path.parent.mkdir(parents=True, exist_ok=True)
            with opened.open(member) as source, path.open("xb") as target:
                shutil.copyfileobj(source, target, READ_BYTES)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    except BaseException:
        with contextlib.suppress(OSError):
            shutil.rmtree(made)
        raise
