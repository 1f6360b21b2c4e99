"""How a conversion worker gets blobs and gives back what it made: through a folder that it shares with the
coordinator, or through the coordinator's blob interface."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a worker gave back.

    Attributes:
        path: where it is, for a coordinator on the same machine; empty where it is a blob already.
        digest: the blob's; empty where it is none yet.
    """

    path: str = ""
    digest: str = ""


class Exchange(Protocol):
    """Pickled into each request."""

    def get(self, digest: str) -> Path:
        """A file with that content, to be read only.

        Raises:
            ConversionError: BLOB_MISSING, or it can't be fetched.
        """
        ...

    def give(self, path: Path) -> Given:
        """Hands over a file that was written in `out_dir`."""
        ...

    def out_dir(self) -> Path:
        """An existing folder for what the worker makes."""
        ...

    def checkpoint_dir(self, stage_id: str) -> Path:
        """An existing folder that outlives the worker's process, and that a second try finds again."""
        ...


@dataclass(frozen=True, kw_only=True)
class SharedFolder:
    """Files on this machine.

    Attributes:
        paths: of the blobs that a request names, by digest.
        folder: for what the worker makes; the coordinator takes it from there.
        checkpoints: one folder a stage.
    """

    paths: Mapping[str, str]
    folder: str
    checkpoints: str

    def get(self, digest: str) -> Path:
        return Path(self.paths[digest])

    def give(self, path: Path) -> Given:
        return Given(path=str(path))

    def out_dir(self) -> Path:
        return Path(self.folder)

    def checkpoint_dir(self, stage_id: str) -> Path:
        folder = Path(self.checkpoints or tempfile.gettempdir()) / stage_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder
