"""Where fine-tuning stands, in one file that is either whole or not believed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE_NAME = "fine-tuning.checkpoint"

_MAGIC = b"edgemeter fine-tuning 1\n"
_DIGEST_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a folder holds.

    Attributes:
        payload: as it was written; None where there is none that can be used.
        note: why one that is there is not used, a sentence; empty otherwise.
    """

    payload: bytes | None = None
    note: str = ""


def write(folder: Path, settings: Mapping[str, object], payload: bytes) -> None:
    """Replaces the folder's checkpoint, whole or not at all; makes the folder.

    Args:
        settings: what the run depends on: JSON values. Only a run with equal ones continues it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{FILE_NAME}.new"
    with unfinished.open("wb") as file:
        file.write(_MAGIC + _settings_digest(settings) + hashlib.sha256(payload).digest())
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(folder / FILE_NAME)


def read(folder: Path, settings: Mapping[str, object]) -> Found:
    """The folder's checkpoint of a run with these settings."""
    try:
        content = (folder / FILE_NAME).read_bytes()
    except FileNotFoundError:
        return Found()
    header = len(_MAGIC) + 2 * _DIGEST_BYTES
    kept, payload = content[len(_MAGIC) : header], content[header:]
    if not content.startswith(_MAGIC) or kept[_DIGEST_BYTES:] != hashlib.sha256(payload).digest():
        return Found(note="A damaged checkpoint of fine-tuning was ignored: it started anew.")
    if kept[:_DIGEST_BYTES] != _settings_digest(settings):
        return Found(note="A checkpoint of fine-tuning with other settings was ignored: it started anew.")
    return Found(payload=payload)


def _settings_digest(settings: Mapping[str, object]) -> bytes:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).digest()
