"""Delivers the spool, in order, while the board is attached."""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import grpc

from edgemeter_agent.attempts import AttemptKey
from edgemeter_agent.failure import describe, refusal_reason
from edgemeter_agent.link import backoff
from edgemeter_agent.link.connection import CALL_TIMEOUT_S, Connection
from edgemeter_agent.spool import Spool, SpoolEntry
from edgemeter_protos.frames import CHUNK_BYTES, PutPart
from edgemeter_protos.v1 import blobs_pb2, refusal_pb2

MAX_DAMAGED = 3

HOPELESS = frozenset(
    {
        refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
        refusal_pb2.REFUSAL_REASON_NOT_FOUND,
        refusal_pb2.REFUSAL_REASON_NOT_ALLOWED,
        refusal_pb2.REFUSAL_REASON_ATTEMPT_FENCED,
        refusal_pb2.REFUSAL_REASON_TOO_LARGE,
    }
)
"""Refusals of a report that would meet every repetition of it."""

log = logging.getLogger(__name__)


class Uploader:
    """A thread of its own. `delivered(attempt)` is called from there when nothing of an attempt is left."""

    def __init__(self, connection: Connection, spool: Spool, delivered: Callable[[AttemptKey], None]) -> None:
        self._connection = connection
        self._spool = spool
        self._delivered = delivered
        self._changed = threading.Condition()
        self._attached = False
        self._closed = False
        # Counts reasons to look again, so that none is lost while an upload is under way.
        self._calls = 0
        self._failures = 0
        self._damaged = 0
        self._thread = threading.Thread(target=self._run, name="uploader", daemon=True)
        self._thread.start()

    def set_attached(self, attached: bool) -> None:
        """Detached, nothing is tried: the link knows best when the coordinator is there again."""
        with self._changed:
            self._attached = attached
            self._failures = 0
        self.wake()

    def wake(self) -> None:
        """There is something new in the spool."""
        with self._changed:
            self._calls += 1
            self._changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """True where the spool has become empty within `timeout_s`."""
        self.wake()
        with self._changed:
            return self._changed.wait_for(lambda: self._spool.first() is None, timeout_s)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                calls = self._calls
            try:
                entry = self._spool.first() if self._attached else None
                wait_s = None if entry is None else self._deliver(entry)
            except (OSError, sqlite3.Error) as error:
                # What was delivered, and could not be forgotten, is delivered once more: that does no harm.
                log.error("the spool: %s", error)
                wait_s = self._pause()
            with self._changed:
                if wait_s != 0.0:
                    self._changed.notify_all()
                    self._changed.wait_for(lambda seen=calls: self._closed or self._calls != seen, wait_s)  # type: ignore[misc]
                if self._closed:
                    return

    def _deliver(self, entry: SpoolEntry) -> float:
        """Seconds to wait before the next entry, or the same again, is tried."""
        try:
            for digest, path in entry.blobs.items():
                self._put(digest, path)
            self._connection.fleet.Report(entry.request, timeout=CALL_TIMEOUT_S)
        except grpc.RpcError as error:
            return self._failed(entry, error)
        except FileNotFoundError:
            # The attempt was forgotten meanwhile.
            return self._give_up(entry, "its files are gone")
        except ValueError as error:
            # gRPC's word for a channel that is closed: the agent is stopping.
            log.debug("%s: %s", entry.attempt, error)
            return backoff.CAP_NS / 1e9
        self._failures = self._damaged = 0
        if self._spool.delivered(entry):
            log.info("%s: reported", entry.attempt)
            self._delivered(entry.attempt)
        return 0.0

    def _failed(self, entry: SpoolEntry, error: grpc.RpcError) -> float:
        reason = refusal_reason(error)
        if reason == refusal_pb2.REFUSAL_REASON_BLOB_DAMAGED:
            self._damaged += 1
        if reason in HOPELESS or self._damaged >= MAX_DAMAGED:
            self._damaged = 0
            return self._give_up(entry, describe(error))
        wait_s = self._pause()
        log.warning("%s: not reported: %s; trying again in %.1f s", entry.attempt, describe(error), wait_s)
        return wait_s

    def _give_up(self, entry: SpoolEntry, why: str) -> float:
        # With a report missing, the rest of the attempt is worth nothing; its lease runs out.
        if entry.attempt in self._spool.attempts():
            log.error("%s: its reports are dropped: %s", entry.attempt, why)
            self._spool.forget(entry.attempt)
            self._delivered(entry.attempt)
        return 0.0

    def _pause(self) -> float:
        wait_ns = backoff.delay_ns(self._failures, random.random())  # noqa: S311
        self._failures += 1
        return wait_ns / 1e9

    def _put(self, digest: str, path: Path) -> None:
        blobs = self._connection.blobs
        there = blobs.stat(blobs_pb2.StatRequest(digest=digest), timeout=CALL_TIMEOUT_S)
        if there.complete:
            return
        with path.open("rb") as file:
            header = blobs_pb2.PutHeader(
                digest=digest, size_bytes=os.fstat(file.fileno()).st_size, offset_bytes=there.size_bytes
            )
            file.seek(there.size_bytes)
            blobs.put(_parts(header, file))


def _parts(header: blobs_pb2.PutHeader, file: BinaryIO) -> Iterator[PutPart]:
    yield header
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
