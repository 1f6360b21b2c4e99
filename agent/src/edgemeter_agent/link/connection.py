"""The channel to the coordinator, over mutual TLS."""

from __future__ import annotations

import grpc

from edgemeter_agent.identity import Identity
from edgemeter_protos import COORDINATOR_TLS_NAME
from edgemeter_protos.frames import BlobsClient
from edgemeter_protos.v1 import fleet_pb2_grpc

CALL_TIMEOUT_S = 15.0
"""For calls that move no blob."""

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


class Connection:
    """Fleet and Blobs as this board. Nothing is dialled before the first call."""

    def __init__(self, identity: Identity) -> None:
        credentials = grpc.ssl_channel_credentials(
            root_certificates=identity.ca_pem.encode(),
            private_key=identity.key_pem.encode(),
            certificate_chain=identity.certificate_chain_pem.encode(),
        )
        self._channel = grpc.secure_channel(identity.fleet_address, credentials, options=_OPTIONS)
        self.fleet = fleet_pb2_grpc.FleetStub(self._channel)
        self.blobs = BlobsClient(self._channel)

    def close(self) -> None:
        """Ends every call that is under way."""
        self._channel.close()
