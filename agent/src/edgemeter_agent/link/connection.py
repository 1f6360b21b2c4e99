"""The two channels to the coordinator, over mutual TLS.

The Attach stream lives for days and says little, so it has asyncio's side of gRPC, which sleeps until
something comes; the blocking side wakes fifteen times a second for every open stream. The calls are
blocking, made from the threads that need them, over a channel that closes itself when nobody calls.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from typing import Any, TypeVar

import grpc
import grpc.aio
import grpc.experimental

from edgemeter_agent.identity import Identity
from edgemeter_protos import COORDINATOR_TLS_NAME
from edgemeter_protos.frames import BlobsClient
from edgemeter_protos.v1 import fleet_pb2_grpc

CALL_TIMEOUT_S = 15.0
"""For calls that move no blob."""

CLOSE_TIMEOUT_S = 5.0

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Blobs come in chunks of 256 KiB; the largest other message is an assignment's list of manifests."""

_OPTIONS: list[tuple[str, int | str]] = [
    ("grpc.ssl_target_name_override", COORDINATOR_TLS_NAME),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # When to try again is the link's decision; gRPC must not sleep on top of it.
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
]
CALLS_OPTIONS = [
    *_OPTIONS,
    ("grpc.client_idle_timeout_ms", 60_000),
    # Blobs: the reading thread takes chunks from gRPC itself rather than from another thread, which is 8 %
    # faster on two cores.
    (grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1),
]

T = TypeVar("T")


class Connection:
    """Fleet and Blobs as this board. Nothing is dialled before the first call."""

    def __init__(self, identity: Identity) -> None:
        credentials = grpc.ssl_channel_credentials(
            root_certificates=identity.ca_pem.encode(),
            private_key=identity.key_pem.encode(),
            certificate_chain=identity.certificate_chain_pem.encode(),
        )
        address = identity.fleet_address
        self._calls = grpc.secure_channel(address, credentials, options=CALLS_OPTIONS)
        self.fleet = fleet_pb2_grpc.FleetStub(self._calls)
        self.blobs = BlobsClient(self._calls)

        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="attach", daemon=True)
        self._thread.start()

        async def open_channel() -> grpc.aio.Channel:
            return grpc.aio.secure_channel(address, credentials, options=_OPTIONS)

        self._attach_channel = self.submit(open_channel()).result()
        self.attach = fleet_pb2_grpc.FleetStub(self._attach_channel).Attach

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Runs `coroutine` where `attach` may be used."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def call_soon(self, function: Callable[..., object], *arguments: object) -> None:
        """Calls `function` where `attach` may be used."""
        self._loop.call_soon_threadsafe(function, *arguments)

    def close(self) -> None:
        """Ends every call that is under way; what does not end in time, ends with the process."""
        self._calls.close()
        wait([self.submit(self._attach_channel.close())], CLOSE_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_TIMEOUT_S)
        if not self._thread.is_alive():
            self._loop.close()
