"""Files that are whole or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from edgemeter_coordinator.sdk.errors import EdgemeterError

Chunk = bytes | bytearray | memoryview


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Replaces `path` by `text`, or leaves it as it was; `private` for its owner alone.

    A link is followed. What is no file (/dev/stdout, a pipe) is written to. Raises EdgemeterError.
    """
    write_chunks(path, [text.encode()], private=private)


def write_chunks(path: Path, chunks: Iterable[Chunk], *, private: bool = False) -> None:
    """As `write_text`, for bytes that come piece by piece; what `chunks` raises leaves `path` as it was."""
    try:
        path = path.resolve()
        if path.exists() and not (path.is_file() or path.is_dir()):
            with path.open("wb") as file:
                file.writelines(chunks)
            return
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(chunks)
                file.flush()
                os.fsync(file.fileno())
            if not private:
                # mkstemp makes 0600.
                umask = os.umask(0)
                os.umask(umask)
                Path(temporary).chmod(0o666 & ~umask)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except (OSError, RuntimeError) as error:
        raise EdgemeterError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from error
