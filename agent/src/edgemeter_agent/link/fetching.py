"""Brings a job's blobs to the board: which failures to ride out, and which end the attempt."""

from __future__ import annotations

import functools
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import grpc

from edgemeter_agent.blob_cache import BlobCache, BlobDamagedError, Chunk, DiskFullError
from edgemeter_agent.compression import CompressedBlobError, Decompressor, find_decompressor
from edgemeter_agent.failure import describe, refusal_reason
from edgemeter_agent.link import backoff
from edgemeter_protos.frames import BlobsClient
from edgemeter_protos.v1 import blobs_pb2, fleet_pb2, refusal_pb2

PATIENCE_S = 300.0
"""Without a single new byte. By then the lease is long lost, or the disk of the coordinator is."""

log = logging.getLogger(__name__)

_NOT_THERE = (refusal_pb2.REFUSAL_REASON_BLOB_MISSING, refusal_pb2.REFUSAL_REASON_NOT_FOUND)


class FetchError(Exception):
    """A blob can't be had; `outcome` is how the attempt ends for it."""

    def __init__(self, detail: str, outcome: fleet_pb2.AttemptOutcome.ValueType) -> None:
        super().__init__(detail)
        self.outcome = outcome


class BlobUnusableError(FetchError):
    """The coordinator does not give this one blob, or gives another one in its place."""


class FetchStoppedError(Exception):
    """Nobody wants the blobs any more."""


@dataclass(frozen=True, kw_only=True)
class CompressedBlob:
    """A blob that holds another one.

    Attributes:
        digest: its own.
        content_bytes: size of what it holds.
    """

    digest: str
    content_bytes: int


class Fetcher:
    """Pulls blobs into the cache, one after another."""

    def __init__(
        self,
        cache: BlobCache,
        blobs: BlobsClient,
        *,
        decompressor: Callable[[], Decompressor | None] = find_decompressor,
    ) -> None:
        self._cache = cache
        self._blobs = blobs
        self._decompressor = decompressor
        self._stopped = threading.Event()
        self._call: grpc.Call | None = None

    def stop(self) -> None:
        """Breaks off; what arrived stays for another time. Callable from any thread."""
        self._stopped.set()
        call = self._call
        if call is not None:
            call.cancel()

    def fetch_all(
        self,
        digests: Sequence[str],
        progress: Callable[[float, str], None],
        *,
        compressed: Mapping[str, CompressedBlob] | None = None,
    ) -> dict[str, Path]:
        """The files of `digests`. `progress` is told a share of them and a phrase.

        `compressed` has, by digest, what may be fetched in their place. Raises FetchError or
        FetchStoppedError.
        """
        decompressor = self._decompressor() if compressed else None
        usable = compressed if compressed and decompressor is not None else {}
        keep = [*digests, *(each.digest for each in usable.values())]
        self._cache.trim(keep=keep)
        files: dict[str, Path] = {}
        for position, digest in enumerate(digests):
            tell = functools.partial(progress, position / len(digests))
            tell("fetching")
            found = self._cache.find(digest)
            if found is None and decompressor is not None and digest in usable:
                found = self._fetch_compressed(digest, usable[digest], decompressor, tell, keep)
            files[digest] = found or self._fetch(digest, tell, keep)
        return files

    def _fetch_compressed(
        self,
        digest: str,
        compressed: CompressedBlob,
        decompressor: Decompressor,
        tell: Callable[[str], None],
        keep: Sequence[str],
    ) -> Path | None:
        """The file of `digest`, by way of its compressed copy, of which nothing is left; None where it has to
        be fetched as it is. Raises FetchError or FetchStoppedError, and keeps what there is of the copy."""
        file = None
        try:
            path = self._cache.find(compressed.digest) or self._fetch(compressed.digest, tell, keep)
            tell(f"decompressing {digest[:12]}")
            file = self._decompress(digest, compressed, path, decompressor, keep)
        except (BlobUnusableError, BlobDamagedError, CompressedBlobError, DiskFullError) as error:
            # Both may be damaged, and both are in the way of a disk that is full.
            self._cache.discard_partial(digest)
            self._cache.discard_partial(compressed.digest)
            log.warning("blob %s is fetched as it is, not compressed: %s", digest[:12], error)
        self._cache.discard(compressed.digest)
        return file

    def _decompress(
        self,
        digest: str,
        compressed: CompressedBlob,
        path: Path,
        decompressor: Decompressor,
        keep: Sequence[str],
    ) -> Path:
        """Raises CompressedBlobError, BlobDamagedError, DiskFullError or FetchStoppedError."""

        def content(offset_bytes: int) -> Iterator[bytes]:
            with path.open("rb") as file:
                size_bytes = compressed.content_bytes
                for chunk in decompressor.chunks(file, size_bytes=size_bytes, offset_bytes=offset_bytes):
                    if self._stopped.is_set():
                        raise FetchStoppedError
                    yield chunk

        try:
            return self._cache.fetch(digest, content, received=lambda _size_bytes: None)
        except DiskFullError:
            if not self._cache.clear(keep=keep):
                raise
            return self._cache.fetch(digest, content, received=lambda _size_bytes: None)

    def _fetch(self, digest: str, tell: Callable[[str], None], keep: Sequence[str]) -> Path:
        damaged = failures = 0
        heard_at = time.monotonic()

        def heard(size_bytes: int) -> None:
            nonlocal failures, heard_at
            failures, heard_at = 0, time.monotonic()
            tell(f"fetching {digest[:12]}: {size_bytes / 1e6:.1f} MB")

        while not self._stopped.is_set():
            try:
                return self._cache.fetch(digest, lambda offset: self._chunks(digest, offset), received=heard)
            except BlobDamagedError as error:
                damaged += 1
                if damaged > 1:
                    failed = fleet_pb2.ATTEMPT_OUTCOME_DEVICE_FAILED
                    raise BlobUnusableError(f"{error}, twice", failed) from error
                log.warning("%s; fetching it again", error)
            except DiskFullError as error:
                if self._cache.clear(keep=keep):
                    log.warning("%s; fetching it again without what other jobs left", error)
                    continue
                raise FetchError(
                    f"the board's disk is full: {error}", fleet_pb2.ATTEMPT_OUTCOME_DEVICE_FAILED
                ) from error
            except grpc.RpcError as error:
                if self._stopped.is_set():
                    break
                self._judge(digest, error, silent_s=time.monotonic() - heard_at)
                wait_s = backoff.delay_ns(failures, random.random()) / 1e9  # noqa: S311
                failures += 1
                log.warning("blob %s: %s; trying again in %.1f s", digest[:12], describe(error), wait_s)
                self._stopped.wait(wait_s)
        raise FetchStoppedError

    def _chunks(self, digest: str, offset_bytes: int) -> Iterator[Chunk]:
        call = self._blobs.fetch(blobs_pb2.FetchRequest(digest=digest, offset_bytes=offset_bytes))
        self._call = cast("grpc.Call", call)
        if self._stopped.is_set():
            self._call.cancel()
        return call

    def _judge(self, digest: str, error: grpc.RpcError, *, silent_s: float) -> None:
        """Raises FetchError where another try won't help."""
        reason = refusal_reason(error)
        detail = f"blob {digest[:12]}: {describe(error)}"
        if reason in _NOT_THERE:
            raise BlobUnusableError(detail, fleet_pb2.ATTEMPT_OUTCOME_JOB_FAILED) from error
        if reason == refusal_pb2.REFUSAL_REASON_BAD_REQUEST:
            # An offset beyond its end: what lies here is something else.
            self._cache.discard_partial(digest)
        elif reason:
            raise BlobUnusableError(detail, fleet_pb2.ATTEMPT_OUTCOME_DEVICE_FAILED) from error
        elif silent_s > PATIENCE_S:
            raise FetchError(detail, fleet_pb2.ATTEMPT_OUTCOME_DEVICE_FAILED) from error
