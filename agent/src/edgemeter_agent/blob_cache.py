"""What was fetched: a folder of files named by the SHA-256 of their content.

A blob arrives in `partial/`, where a broken transfer goes on later, and is renamed once it is whole,
verified and on disk. Hashing and writing have a thread beside the one that receives.
"""

from __future__ import annotations

import errno
import hashlib
import os
import queue
import re
import shutil
import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from edgemeter_agent import durable
from edgemeter_agent.runtimes.unpacked_folder import folder_of

Chunk = bytes | bytearray | memoryview
Source = Callable[[int], Iterable[Chunk]]
"""The bytes of one blob from an offset on."""

LIMIT_BYTES = 8 * 1024**3
"""A board's card is small; the least recently used blobs go when the cache grows over this."""

MIN_FREE_BYTES = 512 * 1024**2
"""What the disk should have left for a job's own files; the least recently used blobs go for it too."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_QUEUED_CHUNKS = 16
_FLUSH_INTERVAL_S = 0.03
_READ_BYTES = 1024 * 1024


class BlobDamagedError(Exception):
    """What arrived is not what the digest names."""


class DiskFullError(Exception):
    """The disk has no room for the blob."""


class BlobCache:
    """Used by one thread at a time."""

    def __init__(
        self, root: Path, *, limit_bytes: int = LIMIT_BYTES, min_free_bytes: int = MIN_FREE_BYTES
    ) -> None:
        self._min_free_bytes = min_free_bytes
        self._whole = root / "blobs"
        self._partial = root / "partial"
        self._limit_bytes = limit_bytes
        for folder in (self._whole, self._partial):
            folder.mkdir(parents=True, exist_ok=True)

    def find(self, digest: str) -> Path | None:
        """The blob's file, None where it is not here. Cards rot: the content is hashed again on every use,
        and a damaged file is removed."""
        path = self._whole / _checked(digest)
        try:
            with path.open("rb") as file:
                found = _hash(file.fileno()).hexdigest()
        except FileNotFoundError:
            return None
        if found != digest:
            _remove(path)
            return None
        os.utime(path)
        return path

    def fetch(self, digest: str, source: Source, *, received: Callable[[int], None]) -> Path:
        """Pulls a blob, from where an earlier try broke off, and returns its file.

        `received` is told the bytes that are here after each chunk. Raises BlobDamagedError (nothing of it
        is kept), DiskFullError (likewise), or what `source` raises (what arrived is kept).
        """
        partial = self._partial / _checked(digest)
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            sink = _Sink(descriptor)
            sink.start()
            try:
                size_bytes = sink.offset_bytes
                for chunk in source(size_bytes):
                    sink.put(chunk)
                    size_bytes += len(chunk)
                    received(size_bytes)
            finally:
                sink.finish()
            found = sink.digest()
            if found != digest:
                raise BlobDamagedError(f"blob {digest[:12]}: {size_bytes} bytes arrived with SHA-256 {found}")
            os.fsync(descriptor)
        except BlobDamagedError:
            partial.unlink()
            raise
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            partial.unlink()
            raise DiskFullError(f"no room for blob {digest[:12]} in {self._whole.parent}") from error
        finally:
            os.close(descriptor)
        path = self._whole / digest
        partial.replace(path)
        durable.sync_folder(self._whole)
        return path

    def discard_partial(self, digest: str) -> None:
        """Forgets what a broken transfer left."""
        (self._partial / _checked(digest)).unlink(missing_ok=True)

    def discard(self, digest: str) -> None:
        """Removes a whole blob, if it is here."""
        _remove(self._whole / _checked(digest))

    def trim(self, *, keep: Collection[str]) -> None:
        """Removes the least recently used blobs over the limit, or for which the disk has no room; none of
        `keep`."""
        entries = self._entries()
        excess_bytes = sum(entry.size_bytes for entry in entries) - self._limit_bytes
        lacking_bytes = self._min_free_bytes - shutil.disk_usage(self._whole).free
        over_bytes = max(excess_bytes, lacking_bytes)
        for entry in sorted(entries, key=lambda entry: entry.used_ns):
            if over_bytes <= 0:
                return
            if entry.path.name not in keep:
                _remove(entry.path)
                over_bytes -= entry.size_bytes

    def clear(self, *, keep: Collection[str]) -> bool:
        """Removes all but `keep`; True where there was anything to remove."""
        found = [entry.path for entry in self._entries() if entry.path.name not in keep]
        for path in found:
            _remove(path)
        return bool(found)

    def _entries(self) -> list[_Entry]:
        """A folder that a runtime unpacked beside its blob is part of that."""
        entries = []
        for folder in (self._whole, self._partial):
            for found in os.scandir(folder):
                if found.is_dir():
                    continue
                stat, path = found.stat(), Path(found.path)
                unpacked = sum(each.stat().st_size for each in folder_of(path).rglob("*"))
                entries.append(
                    _Entry(path=path, size_bytes=stat.st_size + unpacked, used_ns=stat.st_mtime_ns)
                )
        return entries


@dataclass(frozen=True, kw_only=True)
class _Entry:
    path: Path
    size_bytes: int
    used_ns: int


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    shutil.rmtree(folder_of(path), ignore_errors=True)


class _Sink:
    """Hashes and writes in a thread of its own, and has a second one push what was written to the disk, so
    that little is left to wait for at the end. All of that releases the interpreter's lock."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._hash = _hash(descriptor)
        self.offset_bytes = os.lseek(descriptor, 0, os.SEEK_END)
        self._chunks: queue.Queue[Chunk | None] = queue.Queue(_QUEUED_CHUNKS)
        self._error: OSError | None = None
        self._ended = threading.Event()
        self._threads = (
            threading.Thread(target=self._drain, name="blob-sink", daemon=True),
            threading.Thread(target=self._flush, name="blob-flush", daemon=True),
        )

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def put(self, chunk: Chunk) -> None:
        """Raises OSError where an earlier chunk could not be written."""
        if self._error is not None:
            raise self._error
        self._chunks.put(chunk)

    def finish(self) -> None:
        """Waits until all chunks are written."""
        self._chunks.put(None)
        for thread in self._threads:
            thread.join()

    def digest(self) -> str:
        """Of everything, once finished. Raises OSError where a chunk could not be written."""
        if self._error is not None:
            raise self._error
        return self._hash.hexdigest()

    def _drain(self) -> None:
        while (chunk := self._chunks.get()) is not None:
            if self._error is not None:
                continue
            try:
                rest = memoryview(chunk)
                self._hash.update(rest)
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            except OSError as error:
                self._error = error
        self._ended.set()

    def _flush(self) -> None:
        while not self._ended.wait(_FLUSH_INTERVAL_S):
            try:
                os.fdatasync(self._descriptor)
            except OSError as error:
                self._error = error
                return


def _hash(descriptor: int) -> hashlib._Hash:
    """Of the file's content from its start."""
    digest = hashlib.sha256()
    offset_bytes = 0
    while block := os.pread(descriptor, _READ_BYTES, offset_bytes):
        digest.update(block)
        offset_bytes += len(block)
    return digest


def _checked(digest: str) -> str:
    # It becomes a file's name.
    if not _DIGEST.fullmatch(digest):
        raise BlobDamagedError(f"{digest[:80]!r} is no SHA-256 digest")
    return digest
