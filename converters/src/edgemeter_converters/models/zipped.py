"""Which kind of model a .zip holds: a SavedModel's folder or a language model's."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

_KINDS = {"saved_model.pb": "saved_model", "config.json": "llama"}


def framework_of(path: Path) -> str:
    """By the file that each has at its top or one folder down; "saved_model" where there is neither, whose
    loader says what is missing."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [PurePosixPath(info.filename) for info in archive.infolist()]
    except (zipfile.BadZipFile, NotImplementedError, OSError):
        names = []
    found = {name.name for name in names if len(name.parts) <= 2}
    return next((framework for file, framework in _KINDS.items() if file in found), "saved_model")
