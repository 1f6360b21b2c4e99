"""A zip file, read without unpacking it: nothing is ever written where an entry's name says."""

from __future__ import annotations

import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from edgemeter_converters.datasets.refusal import check_size, not_a_dataset

DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What zipfile raises for a damaged file: one byte that is off may send it before the file's start."""

_ENCRYPTED = 1
"""The first of an entry's general purpose flags (PKWARE's APPNOTE, 4.4.4)."""


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The files of an open zip file.

    Attributes:
        entries: by path, sorted; hidden files and those that macOS adds are left out.
    """

    file_name: str
    entries: dict[PurePosixPath, zipfile.ZipInfo]
    zip_file: zipfile.ZipFile

    def read(self, path: PurePosixPath) -> bytes:
        """Raises ConversionError, NOT_A_DATASET, where the entry is damaged; zipfile compares checksums, and
        gives no more bytes than the directory told."""
        try:
            return self.zip_file.read(self.entries[path])
        except DAMAGE as error:
            raise not_a_dataset(self.file_name, f"'{path}' in it is damaged ({error})") from error

    def read_json(self, path: PurePosixPath) -> Any:
        """Raises as `read`, and where it is no JSON."""
        try:
            return json.loads(self.read(path))
        except (ValueError, RecursionError) as error:
            raise not_a_dataset(self.file_name, f"'{path}' in it is no JSON ({error})") from error


@contextmanager
def opened(path: Path, file_name: str) -> Iterator[Archive]:
    """The zip file at `path`.

    Raises:
        ConversionError: NOT_A_DATASET where it is no zip file, is encrypted or has an entry that leads out of
            the folder; TOO_LARGE where it unpacks to more than is read.
    """
    try:
        zip_file = zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise not_a_dataset(file_name, "there is no such file") from error
    except DAMAGE as error:
        raise not_a_dataset(file_name, f"it is no .zip file, or a damaged one ({error})") from error
    with zip_file:
        files = [info for info in zip_file.infolist() if not info.is_dir()]
        _check(files, file_name)
        entries = {PurePosixPath(info.filename): info for info in files}
        seen = {path: info for path, info in sorted(entries.items()) if not _is_hidden(path)}
        yield Archive(file_name=file_name, entries=seen, zip_file=zip_file)


def _check(files: list[zipfile.ZipInfo], file_name: str) -> None:
    for info in files:
        path = PurePosixPath(info.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in info.filename:
            raise not_a_dataset(
                file_name, f"its entry {info.filename!r} leads out of it: pack the folder anew"
            )
        if info.flag_bits & _ENCRYPTED:
            raise not_a_dataset(file_name, f"its entry {info.filename!r} is encrypted: pack it without")
    check_size(file_name, "its files", sum(info.file_size for info in files))


def _is_hidden(path: PurePosixPath) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
