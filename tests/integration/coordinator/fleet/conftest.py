"""A coordinator in this process, and boards that talk to it as agents do: over TLS, with certificates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import Connection

from edgemeter_coordinator.service.server import Coordinator, ServeOptions
from edgemeter_coordinator.store import tokens
from edgemeter_coordinator.store.database import Database
from edgemeter_protos import COORDINATOR_TLS_NAME, PROTOCOL_VERSION, frames, refusals
from edgemeter_protos.frames import CHUNK_BYTES
from edgemeter_protos.v1 import blobs_pb2, enrolment_pb2, enrolment_pb2_grpc, fleet_pb2, fleet_pb2_grpc
from edgemeter_protos.v1.device_pb2 import DeviceFacts
from edgemeter_protos.v1.result_pb2 import Result

T = TypeVar("T")

TLS_NAME = (("grpc.ssl_target_name_override", COORDINATOR_TLS_NAME),)


def signing_request(key: ec.EllipticCurvePrivateKey, name: str = "whatever") -> str:
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .sign(key, hashes.SHA256())
    )
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


async def refusal_of(call: Any) -> int:
    """The typed reason for which a call is refused."""
    with pytest.raises(grpc.RpcError) as failed:
        await call
    refusal = refusals.unpack(failed.value)
    assert refusal is not None, failed.value
    assert refusal.message
    assert "\n" not in refusal.message
    return refusal.reason


class Blobs:
    """The service Blobs, by one of its ports, as agents and the SDK call it: from threads."""

    def __init__(self, channel: grpc.Channel, metadata: Sequence[tuple[str, str]] = ()) -> None:
        self._client = frames.BlobsClient(channel)
        self._metadata = tuple(metadata)

    async def stat(self, digest: str) -> blobs_pb2.StatResponse:
        request = blobs_pb2.StatRequest(digest=digest)
        return await asyncio.to_thread(self._client.stat, request, metadata=self._metadata)

    async def fetch(self, digest: str, offset_bytes: int = 0) -> bytes:
        request = blobs_pb2.FetchRequest(digest=digest, offset_bytes=offset_bytes)

        def fetch() -> bytes:
            return b"".join(self._client.fetch(request, metadata=self._metadata))

        return await asyncio.to_thread(fetch)

    async def put(
        self, digest: str, content: bytes, *, size_bytes: int | None = None, offset_bytes: int = 0
    ) -> None:
        """Puts `content`, which begins at `offset_bytes` of the blob."""
        size = offset_bytes + len(content) if size_bytes is None else size_bytes
        chunks = [content[start : start + CHUNK_BYTES] for start in range(0, len(content), CHUNK_BYTES)]
        header = blobs_pb2.PutHeader(digest=digest, size_bytes=size, offset_bytes=offset_bytes)
        await self.put_parts([header, *chunks])

    async def put_parts(self, parts: Sequence[frames.PutPart]) -> None:
        await asyncio.to_thread(self._client.put, iter(parts), metadata=self._metadata)


class Stream:
    """An Attach stream."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.welcome = fleet_pb2.Welcome()

    async def write(self, **message: Any) -> None:
        await self.call.write(fleet_pb2.AttachRequest(**message))

    async def read(self, kind: str | None = None) -> fleet_pb2.AttachResponse | None:
        """The next message, or the next one of `kind`; None where the stream ends before."""
        while True:
            message = await self.call.read()
            if message is grpc.aio.EOF:
                return None
            assert isinstance(message, fleet_pb2.AttachResponse)
            if kind in (None, message.WhichOneof("message")):
                return message


@dataclass
class Board:
    device_id: str
    name: str
    channel: grpc.aio.Channel
    fleet: fleet_pb2_grpc.FleetAsyncStub
    blobs: Blobs

    async def attach(self, held: Sequence[fleet_pb2.AttemptRef] = ()) -> Stream:
        stream = Stream(self.fleet.Attach())
        hello = fleet_pb2.Hello(
            protocol_version=PROTOCOL_VERSION, facts=DeviceFacts(hostname=self.name), held=held
        )
        await stream.write(hello=hello)
        message = await stream.read()
        assert message is not None
        assert message.HasField("welcome"), message
        stream.welcome = message.welcome
        return stream

    async def claim(self, stream: Stream) -> fleet_pb2.Assignment | None:
        response = await self.fleet.Claim(fleet_pb2.ClaimRequest(epoch=stream.welcome.epoch))
        return response.assignment if response.HasField("assignment") else None

    async def renew(self, attempt: fleet_pb2.AttemptRef) -> fleet_pb2.RenewResponse:
        return await self.fleet.Renew(fleet_pb2.RenewRequest(attempt=attempt))

    async def report(self, attempt: fleet_pb2.AttemptRef, sequence: int, result: Result) -> int:
        request = fleet_pb2.ReportRequest(attempt=attempt, sequence=sequence, result=result)
        return (await self.fleet.Report(request)).disposition

    async def end(
        self,
        attempt: fleet_pb2.AttemptRef,
        sequence: int,
        outcome: fleet_pb2.AttemptOutcome.ValueType = fleet_pb2.ATTEMPT_OUTCOME_COMPLETED,
    ) -> int:
        end = fleet_pb2.AttemptEnd(outcome=outcome, detail="so it ended")
        request = fleet_pb2.ReportRequest(attempt=attempt, sequence=sequence, end=end)
        return (await self.fleet.Report(request)).disposition


class Site:
    """A state directory, the coordinator on it (started and stopped at will), and its clients."""

    def __init__(self, state_dir: Path, resources: AsyncExitStack) -> None:
        self.state_dir = state_dir
        self.coordinator: Coordinator
        self.owner_token = ""
        self._resources = resources
        self._options: dict[str, Any] = {}

    async def start(self, **options: Any) -> Coordinator:
        self._options = {"port": 0, "fleet_port": 0, "heartbeat_interval_s": 5, "workers": 1} | options
        self.coordinator = await Coordinator.start(
            ServeOptions(state_dir=self.state_dir, host="127.0.0.1", **self._options)
        )
        self._resources.push_async_callback(self.coordinator.stop)
        self.owner_token = self.coordinator.owner_token or self.owner_token
        return self.coordinator

    async def database(self, statement: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Runs a transaction beside the coordinator's, as another process could."""
        database = Database.in_directory(self.state_dir)
        try:
            return await database.transact(statement, *args, **kwargs)
        finally:
            database.close()

    def channel(self, port: int, **certificate: bytes) -> grpc.aio.Channel:
        channel = grpc.aio.secure_channel(*self._target(port, **certificate), options=TLS_NAME)
        self._resources.push_async_callback(channel.close)
        return channel

    def blobs(self, port: int, metadata: Sequence[tuple[str, str]] = (), **certificate: bytes) -> Blobs:
        channel = grpc.secure_channel(*self._target(port, **certificate), options=TLS_NAME)
        self._resources.callback(channel.close)
        return Blobs(channel, metadata)

    def _target(
        self, port: int, *, key: bytes | None = None, chain: bytes | None = None
    ) -> tuple[str, grpc.ChannelCredentials]:
        ca_pem = self.coordinator.ca_pem.encode()
        return f"127.0.0.1:{port}", grpc.ssl_channel_credentials(ca_pem, key, chain)

    def users_channel(self) -> grpc.aio.Channel:
        return self.channel(self.coordinator.port)

    def user_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.owner_token}"),)

    def user_blobs(self) -> Blobs:
        return self.blobs(self.coordinator.port, self.user_metadata())

    async def join_token(self, **options: Any) -> tokens.Issued:
        def create(connection: Connection) -> tokens.Issued:
            usual = {"user": "tester", "labels": {"rack": "a"}, "uses": 1, "ttl_s": 60}
            return tokens.create_join(connection, **{**usual, **options})

        return await self.database(create)

    async def enrol(self, secret: str, csr_pem: str, name: str = "pi") -> enrolment_pb2.Enrolled:
        stub = enrolment_pb2_grpc.EnrolmentStub(self.users_channel())
        response = await stub.Enrol(
            enrolment_pb2.EnrolRequest(
                token=secret, csr_pem=csr_pem, name=name, facts=DeviceFacts(hostname="host")
            )
        )
        return response.enrolled

    async def join(self, name: str = "pi") -> Board:
        key = ec.generate_private_key(ec.SECP256R1())
        enrolled = await self.enrol((await self.join_token()).secret, signing_request(key), name)
        return self.board(enrolled, key_pem(key))

    def board(self, enrolled: enrolment_pb2.Enrolled, key: bytes) -> Board:
        port, chain = self.coordinator.fleet_port, enrolled.certificate_chain_pem.encode()
        channel = self.channel(port, key=key, chain=chain)
        return Board(
            device_id=enrolled.device_id,
            name=enrolled.name,
            channel=channel,
            fleet=fleet_pb2_grpc.FleetStub(channel),
            blobs=self.blobs(port, key=key, chain=chain),
        )


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as resources:
        site = Site(tmp_path / "state", resources)
        await site.start()
        yield site
