"""One Attach stream: messages in become events, messages out wait in a queue."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import grpc

from edgemeter_agent.failure import describe, refusal_reason
from edgemeter_agent.link.events import Event, Received, StreamLost
from edgemeter_protos.v1 import fleet_pb2, fleet_pb2_grpc

MAX_QUEUED = 16
"""Where the link is this far behind, progress is dropped: it is for people to look at."""


class AttachStream:
    """Stream number `session`; posts Received, and StreamLost once at its end."""

    def __init__(
        self,
        fleet: fleet_pb2_grpc.FleetStub,
        session: int,
        hello: fleet_pb2.Hello,
        post: Callable[[Event], None],
    ) -> None:
        self.session = session
        self._post = post
        self._outbox: queue.SimpleQueue[fleet_pb2.AttachRequest | None] = queue.SimpleQueue()
        self._outbox.put(fleet_pb2.AttachRequest(hello=hello))
        self._call = fleet.Attach(iter(self._outbox.get, None))
        self._reader = threading.Thread(target=self._read, name=f"attach-{session}", daemon=True)
        self._reader.start()

    def send_heartbeat(self, sequence: int) -> None:
        self._outbox.put(fleet_pb2.AttachRequest(heartbeat=fleet_pb2.Heartbeat(sequence=sequence)))

    def send_progress(self, progress: fleet_pb2.Progress) -> None:
        if self._outbox.qsize() < MAX_QUEUED:
            self._outbox.put(fleet_pb2.AttachRequest(progress=progress))

    def close(self, timeout_s: float = 0.0) -> None:
        """Says no more, and gives the coordinator `timeout_s` to answer that."""
        self._outbox.put(None)
        self._reader.join(timeout_s)
        self._call.cancel()

    def _read(self) -> None:
        try:
            for message in self._call:
                self._post(Received(session=self.session, message=message))
        except grpc.RpcError as error:
            self._post(
                StreamLost(session=self.session, detail=describe(error), refusal=refusal_reason(error))
            )
        else:
            self._post(StreamLost(session=self.session, detail="the coordinator closed the stream"))
        finally:
            self._outbox.put(None)
