"""Before anything runs: is the artifact the one that was announced, and which runtime takes it?"""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgemeter_agent.engine.record import VariantRecord
from edgemeter_agent.runtimes.choice import NoRuntime, choose_runtime
from edgemeter_agent.runtimes.installed import installed_runtimes


def admit(record: VariantRecord) -> None:
    """Sets the record's runtime, or its failure."""
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
    else:
        record.runtime = chosen


def file_digest(path: str) -> str:
    """SHA-256, lower-case hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
