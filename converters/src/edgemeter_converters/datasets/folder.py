"""A folder of pictures or of tables as one file that can be sent. Pure Python."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from pathlib import Path

from edgemeter_converters.datasets import layout

_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip file can tell."""


def pack(folder: Path, into: Path) -> None:
    """Writes a .zip of the pictures and tables below `folder`, and nothing else of it.

    The same bytes for the same files, wherever and whenever they were packed; not compressed, as pictures and
    tables are. Hidden files are left out.

    Raises:
        ValueError: there is neither a picture nor a table, or something is no plain file.
        OSError: one can't be read, or `into` not be written.
    """
    files = _files(folder)
    if not any(layout.is_picture(path) or layout.is_table(path) for path in files):
        raise ValueError(
            f"{folder} holds no pictures ({', '.join(sorted(layout.PICTURE_SUFFIXES))}) and no tables "
            f"({', '.join(sorted(layout.TABLE_SUFFIXES))})"
        )
    with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as archive:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _FIRST_DAY)
            entry.create_system = 3  # Unix, on every system
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, 1 << 20)


def _files(folder: Path) -> list[Path]:
    found = []
    for where, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(where, name) for name in names if not name.startswith(".")]
    kept = [
        path
        for path in found
        if layout.is_picture(path) or layout.is_table(path) or path.name == layout.STATE
    ]
    for path in kept:
        if not path.is_file():
            raise ValueError(f"{path} is no file that can be read")
    return sorted(kept, key=lambda path: path.relative_to(folder).as_posix().encode(errors="surrogateescape"))


def _raise(error: OSError) -> None:
    raise error
