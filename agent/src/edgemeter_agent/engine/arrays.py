"""Arrays in files: .npz, never with pickles."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def read_numbered(path: str, prefix: str) -> list[Array]:
    """The arrays `{prefix}_0`, `{prefix}_1`, … of an .npz file, batch first.

    Raises ValueError, one line that names the file, where it can't be read, has no such array, or its arrays
    differ in their number of samples.
    """
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays: list[Array] = []
            while f"{prefix}_{len(arrays)}" in archive:
                arrays.append(archive[f"{prefix}_{len(arrays)}"])
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        # np.load gives back a bare array, which is no context manager, for an .npy file.
        raise ValueError(f"{Path(path).name} is no .npz of plain arrays: {error}") from None
    if not arrays:
        raise ValueError(f"{Path(path).name} has no array {prefix}_0")
    if any(array.ndim == 0 or len(array) != len(arrays[0]) for array in arrays):
        raise ValueError(f"{Path(path).name}: its {prefix} arrays differ in their number of samples")
    return arrays


def write(path: str, arrays: Mapping[str, Array]) -> None:
    """Raises OSError, which names the file."""
    named: dict[str, Any] = dict(arrays)
    try:
        np.savez_compressed(path, **named)
    except OSError as error:
        # A full disk is noticed when writing, where the system no longer knows a name.
        error.filename = error.filename or path
        raise
