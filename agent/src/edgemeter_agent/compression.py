"""zstd where this board has it: Python 3.14's own, or the package `zstandard`.

Neither is required, and neither is imported before there is something to decompress: the agent stays small
while it waits.
"""

from __future__ import annotations

import importlib
import logging
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

WINDOW_LOG = 23
"""Files come with zstd's level 19, whose window is 8 MiB (ZSTD_getCParams in zstd's lib/compress/clevels.h).
What asks for more is refused, so that a board's memory is never the sender's to choose."""

_READ_BYTES = 256 * 1024

log = logging.getLogger(__name__)


class CompressedBlobError(Exception):
    """A compressed file does not hold what it should."""


class Reader(Protocol):
    """Decompressed bytes."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class Decompressor:
    """One way to decompress zstd.

    Attributes:
        name: with its version, for people.
        open: reads a compressed file; a read gives no more than it is asked for.
        errors: what reading raises where the file is damaged.
    """

    name: str
    open: Callable[[BinaryIO], Reader]
    errors: tuple[type[Exception], ...]

    def chunks(self, file: BinaryIO, *, size_bytes: int, offset_bytes: int = 0) -> Iterator[bytes]:
        """What `file` holds from an offset on, a little at a time, and never more than it should.

        Args:
            size_bytes: of the whole content.

        Raises:
            CompressedBlobError: it is damaged, or holds more or less than `size_bytes`.
        """
        done_bytes = 0
        try:
            reader = self.open(file)
            while chunk := reader.read(min(_READ_BYTES, size_bytes - done_bytes + 1)):
                skipped_bytes = max(0, offset_bytes - done_bytes)
                done_bytes += len(chunk)
                if done_bytes > size_bytes:
                    raise CompressedBlobError(f"it holds more than the {size_bytes} bytes announced")
                if len(chunk) > skipped_bytes:
                    yield chunk[skipped_bytes:]
        except self.errors as error:
            raise CompressedBlobError(f"{self.name} can't read it: {error}") from error
        if done_bytes < size_bytes:
            raise CompressedBlobError(f"it holds {done_bytes} bytes, and {size_bytes} were announced")


def find_decompressor() -> Decompressor | None:
    """What this interpreter can import; None where files have to come as they are."""
    for load in (_standard_library, _zstandard):
        try:
            return load()
        except ImportError as error:
            log.debug("%s: %s", load.__name__, error)
    return None


def transfer(decompressor: Decompressor | None) -> str:
    """How files travel to this board, for people."""
    if decompressor is None:
        return "as they are: install zstandard for smaller transfers"
    return f"compressed ({decompressor.name})"


# Both are Any: neither has to be there, for a type checker as for us.


def _standard_library() -> Decompressor:
    zstd: Any = importlib.import_module("compression.zstd")
    options = {zstd.DecompressionParameter.window_log_max: WINDOW_LOG}
    return Decompressor(
        name=f"Python {platform.python_version()}",
        open=lambda file: zstd.ZstdFile(file, "r", options=options),
        errors=(zstd.ZstdError, EOFError),
    )


def _zstandard() -> Decompressor:
    zstandard: Any = importlib.import_module("zstandard")
    return Decompressor(
        name=f"zstandard {zstandard.__version__}",
        open=lambda file: zstandard.ZstdDecompressor(max_window_size=1 << WINDOW_LOG).stream_reader(file),
        errors=(zstandard.ZstdError,),
    )
