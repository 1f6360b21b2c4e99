"""Where what is in an artifact that travels as a .zip lies on a board."""

from __future__ import annotations

from pathlib import Path

SUFFIX = ".unpacked"


def folder_of(archive: Path) -> Path:
    """Beside it, by its whole name. Whoever removes the one removes the other."""
    return archive.with_name(archive.name + SUFFIX)
