"""Where models and data come from when a study brings its own: the zoo, and names that are free."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from edgemeter_coordinator.sdk import upload
from edgemeter_coordinator.sdk.errors import EdgemeterError, Refused
from edgemeter_coordinator.sdk.study_watcher import Watcher

if TYPE_CHECKING:
    from edgemeter_converters.zoo import Fetched

T = TypeVar("T")

TEXT_SUFFIX = ".txt"
"""Of data that the model's tokenizer reads."""


def zoo_names() -> list[str]:
    """Of every entry."""
    from edgemeter_converters import zoo

    return list(zoo.ENTRIES)


def application_of(name: str) -> str:
    """What a zoo entry is for; empty for what is none."""
    from edgemeter_converters import zoo

    entry = zoo.ENTRIES.get(name)
    return "" if entry is None else entry.application


def fetched(name: str, watcher: Watcher) -> Fetched:
    """A zoo entry's files. Raises EdgemeterError."""
    from edgemeter_converters import zoo

    try:
        return zoo.fetch(name, progress=lambda line: watcher.doing(f"{name}: {line}"))
    except zoo.FetchError as error:
        raise EdgemeterError(f"cannot fetch {name}: {error}") from error


def under_a_free_name(file: Path, name: str, add: Callable[[Path, str], T]) -> T:
    """What `add` gives for the file under this name; where that is another one's, under "NAME-DIGEST".

    A file that was changed since it was last sent: both stay known, told apart by the digest.
    """
    try:
        return add(file, name)
    except Refused as refused:
        if refused.reason != "ALREADY_EXISTS":
            raise
    return add(file, f"{name}-{upload.file_digest(file)[:8]}")
