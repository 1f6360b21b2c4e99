"""A conversion worker on another machine: blobs come and go through the coordinator's interface."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.exchange import Given
from edgemeter_protos import COORDINATOR_TLS_NAME, refusals
from edgemeter_protos.frames import CHUNK_BYTES, BlobsClient, PutPart
from edgemeter_protos.v1 import blobs_pb2, refusal_pb2

R = TypeVar("R")

CACHE_BYTES = 8 << 30
"""Of fetched blobs a worker process keeps: beyond it those that were used longest ago go."""

CHECKPOINT_KEPT_S = 7 * 24 * 3600
"""A checkpoint that nobody came back for in a week is not worth its disk."""

_PATIENCE_S = 60.0
"""For a coordinator that is restarting, or whose port is not open yet."""

_TRANSFER_S = 3600.0

_OPTIONS = (
    ("grpc.ssl_target_name_override", COORDINATOR_TLS_NAME),
    ("grpc.enable_http_proxy", 0),
)

_one_at_a_time = threading.Lock()


def alone(function: Callable[..., R], *args: Any) -> R:
    """`function(*args)`, never beside another in this process: tools write to its standard output, which
    belongs to all of its threads, and an existing cluster's workers may have several."""
    with _one_at_a_time:
        return function(*args)


@dataclass(frozen=True, kw_only=True)
class RemoteExchange:
    """The coordinator's blob interface.

    Attributes:
        address: "HOST:PORT" of the coordinator, as workers dial it.
        ca_certificate: PEM, of the CA that signed the coordinator's.
        token: lets a worker read the blobs that requests name, and put what it made; nothing else.
    """

    address: str
    ca_certificate: str
    token: str = field(repr=False)

    def get(self, digest: str) -> Path:
        """A file with that content, to be read only.

        It is fetched once a process, and its digest is verified.

        Raises:
            ConversionError: the coordinator does not have it, or can't be reached.
        """
        cached = self._folder("blobs") / digest
        if not cached.exists():
            partial = cached.with_suffix(".partial")
            with self._blobs() as client:
                chunks = client.fetch(blobs_pb2.FetchRequest(digest=digest), timeout=_TRANSFER_S)
                actual = _write(partial, chunks)
            if actual != digest:
                partial.unlink()
                raise ConversionError(
                    f"what arrived as blob {digest[:12]} has the digest {actual[:12]}: try again",
                    reason=refusal_pb2.REFUSAL_REASON_BLOB_DAMAGED,
                )
            partial.replace(cached)
            _make_room(cached.parent, CACHE_BYTES, sparing=cached)
        os.utime(cached)
        return cached

    def give(self, path: Path) -> Given:
        """Puts a file that was written in `out_dir`, and removes it here.

        Raises:
            ConversionError: the coordinator does not take it, or can't be reached.
        """
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        with self._blobs() as client:
            there = client.stat(blobs_pb2.StatRequest(digest=digest), timeout=_PATIENCE_S)
            if not there.complete:
                client.put(_parts(path, digest), timeout=_TRANSFER_S)
        path.unlink()
        return Given(digest=digest)

    def out_dir(self) -> Path:
        """An existing folder for what the worker makes."""
        return self._folder("made")

    def checkpoint_dir(self, stage_id: str) -> Path:
        """An existing folder that outlives the worker's process; a second try on this machine finds it."""
        checkpoints = _scratch().parent / f"edgemeter-checkpoints-{os.getuid()}"
        folder = checkpoints / stage_id
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for each in checkpoints.iterdir():
            if each != folder and time.time() - each.stat().st_mtime > CHECKPOINT_KEPT_S:
                shutil.rmtree(each, ignore_errors=True)
        return folder

    def _folder(self, name: str) -> Path:
        folder = _scratch() / f"edgemeter-{name}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _blobs(self) -> _Connection:
        return _Connection(self)


class _Connection:
    """A channel for one transfer; what goes wrong with it is a `ConversionError`."""

    def __init__(self, exchange: RemoteExchange) -> None:
        credentials = grpc.composite_channel_credentials(
            grpc.ssl_channel_credentials(exchange.ca_certificate.encode()),
            grpc.access_token_call_credentials(exchange.token),
        )
        self._address = exchange.address
        self._channel = grpc.secure_channel(exchange.address, credentials, options=_OPTIONS)

    def __enter__(self) -> BlobsClient:
        try:
            grpc.channel_ready_future(self._channel).result(timeout=_PATIENCE_S)
        except grpc.FutureTimeoutError:
            self._channel.close()
            raise ConversionError(
                f"the conversion worker can't reach the coordinator at {self._address}: is that the address "
                "that `edgemeter serve --advertise` should give, and is the port open to the worker?"
            ) from None
        return BlobsClient(self._channel)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._channel.close()
        if isinstance(error, grpc.RpcError):
            refusal = refusals.unpack(error)
            if refusal is not None:
                raise ConversionError(refusal.message, reason=refusal.reason) from error
            raise ConversionError(
                f"the conversion worker lost the coordinator at {self._address}: {error.code().name.lower()}"
            ) from error


def _scratch() -> Path:
    """This worker process's own folder: Dask removes it when the worker ends."""
    try:
        from distributed import get_worker

        return Path(get_worker().local_directory)
    except (ImportError, ValueError):
        return Path(tempfile.gettempdir()) / f"edgemeter-worker-{os.getpid()}"


def _write(path: Path, chunks: Iterator[bytes | bytearray | memoryview]) -> str:
    """Writes the chunks; the SHA-256 of their content."""
    sha256 = hashlib.sha256()
    with path.open("wb") as file:
        for chunk in chunks:
            sha256.update(chunk)
            file.write(chunk)
    return sha256.hexdigest()


def _parts(path: Path, digest: str) -> Iterator[PutPart]:
    yield blobs_pb2.PutHeader(digest=digest, size_bytes=path.stat().st_size)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _make_room(folder: Path, most_bytes: int, *, sparing: Path) -> None:
    """Removes files until `folder` has at most so many bytes, those that were used longest ago first."""
    files = sorted(
        ((path.stat(), path) for path in folder.iterdir() if path != sparing),
        key=lambda each: each[0].st_mtime,
    )
    held = sparing.stat().st_size + sum(state.st_size for state, _ in files)
    for state, path in files:
        if held <= most_bytes:
            break
        path.unlink()
        held -= state.st_size
