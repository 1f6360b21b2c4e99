"""The content-addressed directory: models, data, artifacts, samples, outputs.

    blobs/ab/ab12…         a whole blob, named by the SHA-256 of its content, never written again
    blobs/partial/ab12…    one on its way, resumable
    blobs/damaged/ab12…    one whose content no longer matched its name, kept for whoever asks why

A blob gets its name only after its digest was verified and its bytes are on disk, so a crash at any
moment leaves whole blobs and partial ones, never a wrong one. All functions block: the service calls
them in threads.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from edgemeter_coordinator.refusal import Refused
from edgemeter_protos.v1 import refusal_pb2

DEFAULT_MAX_BLOB_BYTES = 8 * 2**30
READ_BYTES = 4 * 2**20

Bytes = bytes | bytearray | memoryview

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_digest(digest: str) -> str:
    """`digest` itself. Raises Refused (BAD_REQUEST) unless it is a lower-case hexadecimal SHA-256."""
    if not _DIGEST.fullmatch(digest):
        raise Refused(
            refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
            f"{digest[:80]!r} is not a digest: 64 lower-case hexadecimal characters are wanted",
        )
    return digest


class BlobStore:
    """The blobs under `root`. One process writes there; its threads may share this object."""

    def __init__(self, root: Path, *, max_blob_bytes: int = DEFAULT_MAX_BLOB_BYTES) -> None:
        self.root = root
        self.max_blob_bytes = max_blob_bytes
        self._partial = root / "partial"
        self._damaged = root / "damaged"
        for directory in (root, self._partial, self._damaged):
            directory.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._resumable: set[str] = set()  # digests whose partial file has a writer
        self._verified: dict[str, tuple[int, ...]] = {}

    def path(self, digest: str) -> Path:
        """Where the whole blob is, or would be. Raises Refused (BAD_REQUEST)."""
        check_digest(digest)
        return self.root / digest[:2] / digest

    def stat(self, digest: str) -> tuple[bool, int]:
        """Whether the blob is whole, and its size in bytes, or where a resumed write goes on."""
        try:
            return True, self.path(digest).stat().st_size
        except FileNotFoundError:
            pass
        with self._lock:
            if digest in self._resumable:
                return False, 0  # another writer has the partial file: a second one starts afresh
            try:
                return False, (self._partial / digest).stat().st_size
            except FileNotFoundError:
                return False, 0

    def require(self, digest: str) -> Path:
        """The path of a whole blob whose content is known to match its name.

        The content is hashed when this process meets the file for the first time, and again when its
        size or times have changed. Raises Refused: BLOB_MISSING, or BLOB_DAMAGED, after which the blob
        counts as missing and may be put again.
        """
        path = self.path(digest)
        try:
            state = _file_state(path)
            if self._verified.get(digest) == state:
                return path
            whole = file_sha256(path) == digest
            if not whole:
                path.replace(self._damaged / digest)
        except FileNotFoundError:
            raise Refused(
                refusal_pb2.REFUSAL_REASON_BLOB_MISSING,
                f"there is no blob {digest[:12]} here; upload it again",
            ) from None
        if not whole:
            raise Refused(
                refusal_pb2.REFUSAL_REASON_BLOB_DAMAGED,
                f"blob {digest[:12]} was damaged on the coordinator's disk and is set aside in "
                f"{self._damaged}; upload it again",
            )
        self._verified[digest] = state
        return path

    def writer(self, digest: str, *, size_bytes: int, offset_bytes: int = 0) -> BlobWriter:
        """Receives a blob of `size_bytes` from `offset_bytes` on; what is here before that is kept.

        Raises Refused: TOO_LARGE, or BAD_REQUEST where fewer bytes than `offset_bytes` are here.
        """
        check_digest(digest)
        if size_bytes > self.max_blob_bytes:
            raise Refused(
                refusal_pb2.REFUSAL_REASON_TOO_LARGE,
                f"blob {digest[:12]} has {size_bytes} bytes: at most {self.max_blob_bytes} are taken",
            )
        with self._lock:
            shared = digest in self._resumable
            self._resumable.add(digest)
        # Boards that give the same outputs upload the same blob at the same time: the second writer gets
        # a file of its own, and whoever ends first names it.
        path = self._partial / (f"{digest}.{secrets.token_hex(8)}" if shared else digest)
        try:
            return BlobWriter(self, digest, path, size_bytes=size_bytes, offset_bytes=offset_bytes)
        except BaseException:
            if not shared:
                self._let_go(digest)
            raise

    def add_file(self, path: Path) -> str:
        """Copies the content of `path` in; the digest that names it.

        Raises Refused (TOO_LARGE, DISK_FULL), OSError where `path` can't be read.
        """
        digest = file_sha256(path)
        if self.path(digest).exists():
            return digest
        with (
            path.open("rb", buffering=0) as source,
            self.writer(digest, size_bytes=path.stat().st_size) as writer,
        ):
            while data := source.read(READ_BYTES):
                writer.write(data)
            writer.commit()
        return digest

    def add_bytes(self, data: Bytes) -> str:
        """As `add_file`, of `data`."""
        digest = hashlib.sha256(data).hexdigest()
        if not self.path(digest).exists():
            with self.writer(digest, size_bytes=len(data)) as writer:
                writer.write(data)
                writer.commit()
        return digest

    def clean(self) -> None:
        """Removes what second writers of an earlier process left; call while no writer is open."""
        for path in self._partial.glob("*.*"):
            path.unlink()

    def _admit(self, digest: str, partial: Path) -> None:
        """Names a verified partial file, for good once this returns."""
        path = self.path(digest)
        if not path.parent.exists():
            path.parent.mkdir(exist_ok=True)
            _sync_directory(self.root)
        partial.replace(path)
        _sync_directory(path.parent)
        self._verified[digest] = _file_state(path)

    def _let_go(self, digest: str) -> None:
        with self._lock:
            self._resumable.discard(digest)


class BlobWriter:
    """Receives one blob. `commit` makes it whole; closing without that keeps the part for a resumed write.

    What can't become whole (a wrong digest, too many bytes, a full disk) is removed at once.
    """

    def __init__(
        self, store: BlobStore, digest: str, path: Path, *, size_bytes: int, offset_bytes: int
    ) -> None:
        self.digest = digest
        self.size_bytes = size_bytes
        self._store = store
        self._path = path
        self._private = path.name != digest
        self._sha256 = hashlib.sha256()
        self._file: BinaryIO | None = None
        with self._no_half_writes():
            self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)
        try:
            self.received_bytes = self._rehash(offset_bytes)
        except BaseException:
            self._file.close()
            if self._private:
                self._path.unlink()
            raise

    def write(self, data: Bytes) -> None:
        """Appends `data`. Raises Refused: BAD_REQUEST beyond the size that was promised, DISK_FULL."""
        assert self._file is not None
        if self.received_bytes + len(data) > self.size_bytes:
            self._discard()
            raise Refused(
                refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
                f"blob {self.digest[:12]} goes on after the {self.size_bytes} bytes that were promised",
            )
        with self._no_half_writes():
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        self._sha256.update(data)
        self.received_bytes += len(data)

    def commit(self) -> None:
        """Verifies the blob, puts it on disk and gives it its name.

        Raises Refused: BLOB_DAMAGED, DISK_FULL.
        """
        assert self._file is not None
        if self.received_bytes < self.size_bytes:
            raise Refused(
                refusal_pb2.REFUSAL_REASON_BLOB_DAMAGED,
                f"blob {self.digest[:12]} ended after {self.received_bytes} of {self.size_bytes} bytes; "
                "upload the rest",
            )
        actual = self._sha256.hexdigest()
        if actual != self.digest:
            self._discard()
            raise Refused(
                refusal_pb2.REFUSAL_REASON_BLOB_DAMAGED,
                f"what arrived as blob {self.digest[:12]} has the digest {actual[:12]}; upload it again",
            )
        with self._no_half_writes():
            os.fsync(self._file.fileno())
            self._store._admit(self.digest, self._path)
        self.close()

    def close(self) -> None:
        """Lets go of the file; may be called twice."""
        if self._file is None:
            return
        self._file.close()
        self._file = None
        if self._private:
            self._path.unlink(missing_ok=True)
        else:
            self._store._let_go(self.digest)

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _rehash(self, offset_bytes: int) -> int:
        """Cuts the file at `offset_bytes` and hashes what is before that."""
        assert self._file is not None
        here = os.fstat(self._file.fileno()).st_size
        if offset_bytes > min(here, self.size_bytes):
            raise Refused(
                refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
                f"blob {self.digest[:12]} can't go on at byte {offset_bytes}: {here} bytes are here",
            )
        self._file.truncate(offset_bytes)
        for data in _chunks(self._file):
            self._sha256.update(data)
        return offset_bytes

    def _discard(self) -> None:
        self._path.unlink(missing_ok=True)
        self.close()

    @contextmanager
    def _no_half_writes(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise
            self._discard()
            raise Refused(
                refusal_pb2.REFUSAL_REASON_DISK_FULL,
                f"no space for blob {self.digest[:12]} ({self.size_bytes} bytes) in {self._store.root}; "
                "free some and upload it again",
            ) from error


def file_sha256(path: Path) -> str:
    """The digest that names the content of `path`."""
    sha256 = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        for data in _chunks(file):
            sha256.update(data)
    return sha256.hexdigest()


def _chunks(file: BinaryIO) -> Iterator[memoryview]:
    """The rest of `file`; each chunk is gone when the next is asked for."""
    buffer = memoryview(bytearray(READ_BYTES))
    while size := file.readinto(buffer):  # type: ignore[attr-defined]
        yield buffer[:size]


def _file_state(path: Path) -> tuple[int, ...]:
    """What changes when a file's content does, as far as its inode tells."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
