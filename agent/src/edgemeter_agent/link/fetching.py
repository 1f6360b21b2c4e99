"""Brings a job's blobs to the board: which failures to ride out, and which end the attempt."""

from __future__ import annotations

import functools
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import grpc

from edgemeter_agent.blob_cache import BlobCache, BlobDamagedError, Chunk, DiskFullError
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


class FetchStoppedError(Exception):
    """Nobody wants the blobs any more."""


class Fetcher:
    """Pulls blobs into the cache, one after another."""

    def __init__(self, cache: BlobCache, blobs: BlobsClient) -> None:
        self._cache = cache
        self._blobs = blobs
        self._stopped = threading.Event()
        self._call: grpc.Call | None = None

    def stop(self) -> None:
        """Breaks off; what arrived stays for another time. Callable from any thread."""
        self._stopped.set()
        call = self._call
        if call is not None:
            call.cancel()

    def fetch_all(self, digests: Sequence[str], progress: Callable[[float, str], None]) -> dict[str, Path]:
        """The files of `digests`. `progress` is told a share of them and a phrase.

        Raises FetchError or FetchStoppedError.
        """
        self._cache.trim(keep=digests)
        files: dict[str, Path] = {}
        for position, digest in enumerate(digests):
            tell = functools.partial(progress, position / len(digests))
            tell("fetching")
            files[digest] = self._cache.find(digest) or self._fetch(digest, tell, digests)
        return files

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
                    raise FetchError(f"{error}, twice", fleet_pb2.ATTEMPT_OUTCOME_DEVICE_FAILED) from error
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
            raise FetchError(detail, fleet_pb2.ATTEMPT_OUTCOME_JOB_FAILED) from error
        if reason == refusal_pb2.REFUSAL_REASON_BAD_REQUEST:
            # An offset beyond its end: what lies here is something else.
            self._cache.discard_partial(digest)
        elif reason or silent_s > PATIENCE_S:
            raise FetchError(detail, fleet_pb2.ATTEMPT_OUTCOME_DEVICE_FAILED) from error
