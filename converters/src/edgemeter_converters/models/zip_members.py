"""Members of a .zip that somebody else packed, before any of them is unpacked."""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.v1 import refusal_pb2

MAX_FILES = 1000

DAMAGE = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)
"""What reading a broken zip, or one that is encrypted or packed in an unknown way, may raise."""


def looked_at(archive: zipfile.ZipFile, file_name: str, max_bytes: int, noun: str) -> list[zipfile.ZipInfo]:
    """All of them, none of which leads out of the folder that it would be unpacked to.

    Args:
        max_bytes: of all together once unpacked.
        noun: what has a few files only: "a SavedModel".

    Raises:
        ConversionError: UNSAFE_MODEL, TOO_LARGE or NOT_A_MODEL.
    """
    infos = archive.infolist()
    size_bytes = sum(info.file_size for info in infos)
    if size_bytes > max_bytes:
        raise ConversionError(
            f"{file_name}: it unpacks to {size_bytes:,} bytes, at most {max_bytes:,} are read",
            reason=refusal_pb2.REFUSAL_REASON_TOO_LARGE,
        )
    if len(infos) > MAX_FILES:
        raise ConversionError(
            f"{file_name}: it holds {len(infos):,} files; {noun} has a few",
            reason=refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
        )
    for info in infos:
        parts = PurePosixPath(info.filename.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or stat.S_ISLNK(info.external_attr >> 16):
            raise ConversionError(
                f"{file_name}: its member {info.filename!r} leads out of the folder that it is unpacked to",
                reason=refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL,
            )
    return infos


def unpack(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], folder: Path) -> None:
    """Some of them into `folder`, each by the path that it is to have there."""
    for target, info in members.items():
        where = folder / target
        where.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(info) as source, where.open("wb") as copy:
            # Never more than the zip's directory says, which was looked at.
            shutil.copyfileobj(source, copy)
