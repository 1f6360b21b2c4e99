"""Blobs over gRPC. Reading, hashing and writing happen in threads, ahead of the network or behind it, so
that neither waits for the other and the event loop for neither."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from edgemeter_coordinator.blobs import BlobStore, BlobWriter, check_digest
from edgemeter_coordinator.refusal import Refused
from edgemeter_coordinator.service import access
from edgemeter_coordinator.service.access import Context
from edgemeter_coordinator.store import jobs
from edgemeter_coordinator.store.database import Database
from edgemeter_protos.frames import CHUNK_BYTES, Chunk, PutPart
from edgemeter_protos.v1 import blobs_pb2, refusal_pb2

T = TypeVar("T")

# A thread is asked once for so much: fewer hand-overs than chunks, and two of these a call in memory.
STRIDE_BYTES = 8 * CHUNK_BYTES
DEFAULT_MAX_BOARD_BLOB_BYTES = 2**30
"""Samples and outputs are far smaller; a board that went wrong must not fill the coordinator's disk."""


class BlobService:
    """The service Blobs of both ports (edgemeter_protos.frames.BlobsHandler)."""

    def __init__(
        self,
        *,
        database: Database,
        blobs: BlobStore,
        max_board_blob_bytes: int = DEFAULT_MAX_BOARD_BLOB_BYTES,
        worker_may_read: Callable[[str], bool] = lambda _digest: False,
    ) -> None:
        self._database = database
        self._worker_may_read = worker_may_read
        self._blobs = blobs
        self._max_board_blob_bytes = max_board_blob_bytes
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="blobs")

    def close(self) -> None:
        """Waits for running reads and writes."""
        self._threads.shutdown()

    async def stat(
        self,
        request: blobs_pb2.StatRequest,
        context: Context,  # noqa: ARG002
    ) -> blobs_pb2.StatResponse:
        check_digest(request.digest)
        if not await self._may_put():
            await self._check_read(request.digest)
        complete, size_bytes = await self._run(self._blobs.stat, request.digest)
        return blobs_pb2.StatResponse(complete=complete, size_bytes=size_bytes)

    async def fetch(
        self,
        request: blobs_pb2.FetchRequest,
        context: Context,  # noqa: ARG002
    ) -> AsyncIterator[Chunk]:
        check_digest(request.digest)
        await self._check_read(request.digest)
        path = await self._run(self._blobs.require, request.digest)
        size_bytes = path.stat().st_size
        if request.offset_bytes > size_bytes:
            raise Refused(
                refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
                f"blob {request.digest[:12]} has {size_bytes} bytes: none from {request.offset_bytes} on",
            )
        async for chunk in self._read(path, request.offset_bytes):
            yield chunk

    async def put(
        self,
        parts: AsyncIterator[PutPart],
        context: Context,  # noqa: ARG002
    ) -> blobs_pb2.PutResponse:
        header = await anext(aiter(parts), None)
        if not isinstance(header, blobs_pb2.PutHeader):
            raise Refused(refusal_pb2.REFUSAL_REASON_BAD_REQUEST, "a blob's header must come first")
        check_digest(header.digest)
        await self._check_put(header)
        if await self._run(self._is_whole, header.digest):
            return blobs_pb2.PutResponse()
        writer = await self._run(self._open, header)
        written: asyncio.Future[None] | None = None
        try:
            async for stride in _strides(parts):
                if written is not None:
                    await written
                written = self._run(_write, writer, stride)
            if written is not None:
                await written
            await self._run(writer.commit)
        finally:
            # Also when the call is cancelled: the file is closed only after the thread is done with it.
            await asyncio.shield(self._close(writer, written))
        return blobs_pb2.PutResponse()

    async def _read(self, path: Path, offset_bytes: int) -> AsyncIterator[Chunk]:
        file = path.open("rb", buffering=0)
        file.seek(offset_bytes)
        full, spare = (memoryview(bytearray(STRIDE_BYTES)) for _ in range(2))
        ahead = self._run(_fill, file, full)
        try:
            while size := await ahead:
                ahead = self._run(_fill, file, spare)
                for start in range(0, size, CHUNK_BYTES):
                    # Copied by the time that the generator goes on, so the buffer may be filled anew.
                    yield full[start : min(start + CHUNK_BYTES, size)]
                full, spare = spare, full
        finally:
            ahead.add_done_callback(lambda _: file.close())

    async def _may_put(self) -> bool:
        match access.caller():
            case access.User() | access.Worker():
                return True
            case access.Board(device_id=device_id):
                return await self._database.transact(jobs.may_report, device_id)
            case None:
                return False

    async def _check_put(self, header: blobs_pb2.PutHeader) -> None:
        if not await self._may_put():
            raise Refused(
                refusal_pb2.REFUSAL_REASON_NOT_ALLOWED,
                "this board has no attempt to report of, so it may not upload blobs",
            )
        if isinstance(access.caller(), access.Board) and header.size_bytes > self._max_board_blob_bytes:
            raise Refused(
                refusal_pb2.REFUSAL_REASON_TOO_LARGE,
                f"blob {header.digest[:12]} has {header.size_bytes} bytes: "
                f"a board may upload at most {self._max_board_blob_bytes}",
            )

    async def _check_read(self, digest: str) -> None:
        match access.caller():
            case access.User():
                return
            case access.Worker():
                if self._worker_may_read(digest):
                    return
                raise Refused(
                    refusal_pb2.REFUSAL_REASON_NOT_ALLOWED,
                    f"blob {digest[:12]} belongs to no conversion that is under way",
                )
            case access.Board(device_id=device_id):
                if digest in await self._database.transact(jobs.leased_blobs, device_id):
                    return
            case None:
                pass
        raise Refused(
            refusal_pb2.REFUSAL_REASON_NOT_ALLOWED,
            f"blob {digest[:12]} belongs to no job that this board leases now",
        )

    def _is_whole(self, digest: str) -> bool:
        try:
            self._blobs.require(digest)
        except Refused:
            return False
        return True

    def _open(self, header: blobs_pb2.PutHeader) -> BlobWriter:
        return self._blobs.writer(
            header.digest, size_bytes=header.size_bytes, offset_bytes=header.offset_bytes
        )

    async def _close(self, writer: BlobWriter, written: asyncio.Future[None] | None) -> None:
        if written is not None:
            await asyncio.wait([written])
        await self._run(writer.close)

    def _run(self, work: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work, *args)


async def _strides(parts: AsyncIterator[PutPart]) -> AsyncIterator[list[Chunk]]:
    """Chunks, gathered up to STRIDE_BYTES."""
    stride: list[Chunk] = []
    size = 0
    async for part in parts:
        if isinstance(part, blobs_pb2.PutHeader):
            raise Refused(refusal_pb2.REFUSAL_REASON_BAD_REQUEST, "a blob has one header")
        stride.append(part)
        size += len(part)
        if size >= STRIDE_BYTES:
            yield stride
            stride, size = [], 0
    if stride:
        yield stride


def _write(writer: BlobWriter, stride: list[Chunk]) -> None:
    for data in stride:
        writer.write(data)


def _fill(file: BinaryIO, buffer: memoryview) -> int:
    """Reads until `buffer` is full or the file ends; the bytes read."""
    size = 0
    while size < len(buffer) and (got := os.readv(file.fileno(), [buffer[size:]])):
        size += got
    return size
