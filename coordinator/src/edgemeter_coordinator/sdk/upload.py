"""Brings a file to the coordinator by its digest: what is there already is not sent again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc

from edgemeter_coordinator.sdk.channel import is_transient, translate
from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_protos import refusals
from edgemeter_protos.frames import CHUNK_BYTES, BlobsClient, PutPart
from edgemeter_protos.v1 import blobs_pb2, refusal_pb2

Progress = Callable[[int, int], None]
"""Called with the bytes that have reached the coordinator and the bytes of the whole file."""

_ATTEMPTS = 5
_FIRST_PAUSE_S = 0.2
_STAT_TIMEOUT_S = 30.0


def file_digest(path: Path) -> str:
    """The lower-case hexadecimal SHA-256 of a file. Raises EdgemeterError where it can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise EdgemeterError(f"there is no file {path}") from error
    except OSError as error:
        raise EdgemeterError(f"cannot read {path}: {error.strerror}") from error


def _parts(path: Path, header: blobs_pb2.PutHeader, progress: Progress | None) -> Iterator[PutPart]:
    yield header
    sent = header.offset_bytes
    with path.open("rb") as file:
        file.seek(sent)
        while chunk := file.read(min(CHUNK_BYTES, header.size_bytes - sent)):
            yield chunk
            sent += len(chunk)
            if progress is not None:
                progress(sent, header.size_bytes)


def _is_damaged(error: grpc.RpcError) -> bool:
    refusal = refusals.unpack(error)
    return refusal is not None and refusal.reason == refusal_pb2.REFUSAL_REASON_BLOB_DAMAGED


def upload(path: Path, *, channel: grpc.Channel, address: str, progress: Progress | None = None) -> str:
    """Puts the content of `path` and returns its digest.

    Goes on where an earlier upload was cut, also one of another process; where what that one left
    turns out damaged, starts again. Raises EdgemeterError for a
    file that can't be read, Refused, and Unreachable when the link was cut five times running.
    """
    digest = file_digest(path)
    size_bytes = path.stat().st_size
    client = BlobsClient(channel)
    pause_s = _FIRST_PAUSE_S
    reached = False
    for attempt in range(1, _ATTEMPTS + 1):
        offset_bytes = 0
        try:
            there = client.stat(blobs_pb2.StatRequest(digest=digest), timeout=_STAT_TIMEOUT_S)
            reached = True
            if there.complete:
                break
            offset_bytes = min(there.size_bytes, size_bytes)
            header = blobs_pb2.PutHeader(digest=digest, size_bytes=size_bytes, offset_bytes=offset_bytes)
            client.put(_parts(path, header, progress))
            break
        except grpc.RpcError as error:
            again = (is_transient(error) and reached) or (_is_damaged(error) and offset_bytes > 0)
            if attempt == _ATTEMPTS or not again:
                raise translate(error, address) from error
            time.sleep(pause_s)
            pause_s *= 2
    if progress is not None:
        progress(size_bytes, size_bytes)
    return digest
