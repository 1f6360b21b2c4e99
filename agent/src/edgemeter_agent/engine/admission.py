"""Before anything runs: is the artifact the one that was announced, and which runtime takes it?"""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgemeter_agent.engine.record import VariantRecord
from edgemeter_agent.runtimes import kind
from edgemeter_agent.runtimes.choice import NoRuntime, choose_runtime
from edgemeter_agent.runtimes.installed import installed_runtimes
from edgemeter_agent.runtimes.unpacking import unpacked


def admit(record: VariantRecord) -> None:
    """Sets the record's runtime and what it is to load, or its failure."""
    variant = record.variant
    try:
        record.artifact_bytes = Path(variant.artifact_path).stat().st_size
        digest = file_digest(variant.artifact_path) if variant.artifact_digest else ""
    except OSError as error:
        record.failure = ("artifact_unreadable", f"{variant.artifact_path}: {error.strerror}")
        return
    if digest != variant.artifact_digest:
        record.failure = (
            "artifact_damaged",
            f"the artifact's digest is {digest}, and {variant.artifact_digest} was announced",
        )
        return
    chosen = choose_runtime(variant.runtimes, installed_runtimes(), variant.format)
    if isinstance(chosen, NoRuntime):
        record.failure = ("no_runtime", chosen.reason)
    elif record.writes_text and not kind(chosen.name).writes_text:
        record.failure = ("no_runtime", f"{chosen.name} does not write text, and this variant is to")
    else:
        record.runtime = chosen
        _unpack(record)


def _unpack(record: VariantRecord) -> None:
    """Before any runtime is loaded, so that it is part of no load time."""
    archive = Path(record.variant.artifact_path)
    record.model_path = str(archive)
    if record.runtime is None or not kind(record.runtime.name).unpacks or archive.is_dir():
        return
    try:
        record.model_path = str(unpacked(archive))
    except ValueError as error:
        record.failure = ("load_failed", str(error))
    except OSError as error:
        record.failure = ("artifact_unreadable", f"{archive} can't be unpacked beside it: {error.strerror}")


def file_digest(path: str) -> str:
    """SHA-256, lower-case hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
