"""One Attach stream: messages in become events, messages out wait in a queue."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Callable

import grpc
import grpc.aio

from edgemeter_agent.failure import describe, refusal_reason
from edgemeter_agent.link.connection import Connection
from edgemeter_agent.link.events import Event, Received, StreamLost
from edgemeter_protos.v1 import fleet_pb2

MAX_QUEUED = 16
"""Where the link is this far behind, progress is dropped: it is for people to look at."""

Call = grpc.aio.StreamStreamCall[fleet_pb2.AttachRequest, fleet_pb2.AttachResponse]


class AttachStream:
    """Stream number `session`; posts Received, and StreamLost once where the coordinator ends it."""

    def __init__(
        self,
        connection: Connection,
        session: int,
        hello: fleet_pb2.Hello,
        post: Callable[[Event], None],
    ) -> None:
        self.session = session
        self._connection = connection
        self._post = post
        self._outbox: asyncio.Queue[fleet_pb2.AttachRequest | None] = asyncio.Queue()
        self._outbox.put_nowait(fleet_pb2.AttachRequest(hello=hello))
        self._running = connection.submit(self._run())

    def send_heartbeat(self, sequence: int) -> None:
        self._send(fleet_pb2.AttachRequest(heartbeat=fleet_pb2.Heartbeat(sequence=sequence)))

    def send_progress(self, progress: fleet_pb2.Progress) -> None:
        if self._outbox.qsize() < MAX_QUEUED:
            self._send(fleet_pb2.AttachRequest(progress=progress))

    def close(self, timeout_s: float = 0.0) -> None:
        """Says no more, and gives the coordinator `timeout_s` to answer that."""
        if timeout_s:
            self._send(None)
            concurrent.futures.wait([self._running], timeout_s)
        self._running.cancel()

    def _send(self, message: fleet_pb2.AttachRequest | None) -> None:
        self._connection.call_soon(self._outbox.put_nowait, message)

    async def _run(self) -> None:
        call = self._connection.attach()
        writer = asyncio.ensure_future(self._write(call))
        try:
            async for message in call:
                self._post(Received(session=self.session, message=message))
        except grpc.RpcError as error:
            self._post(
                StreamLost(session=self.session, detail=describe(error), refusal=refusal_reason(error))
            )
        else:
            self._post(StreamLost(session=self.session, detail="the coordinator closed the stream"))
        finally:
            writer.cancel()
            call.cancel()

    async def _write(self, call: Call) -> None:
        # A call that has ended says why to the one that reads.
        with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
            while (message := await self._outbox.get()) is not None:
                await call.write(message)
            await call.done_writing()
