"""A coordinator in this process, a user's channel to it, and a scripted board that is real on the wire."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import grpc
import grpc.aio
import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgemeter_coordinator.service.server import Coordinator, ServeOptions
from edgemeter_protos import COORDINATOR_TLS_NAME, PROTOCOL_VERSION, plans, refusals
from edgemeter_protos.v1 import (
    blobs_pb2,
    blobs_pb2_grpc,
    device_pb2,
    enrolment_pb2,
    enrolment_pb2_grpc,
    fleet_pb2,
    fleet_pb2_grpc,
    lab_pb2,
    lab_pb2_grpc,
    refusal_pb2,
)

PATIENCE_S = 120
HEARTBEAT_S = 5
CHUNK_BYTES = 256 * 1024
OPTIONS = (("grpc.ssl_target_name_override", COORDINATOR_TLS_NAME),)
FACTS = device_pb2.DeviceFacts(
    hostname="bench-board",
    board="Test board",
    arch="x86_64",
    cpu_count=4,
    runtimes=[device_pb2.RuntimeFacts(name="litert", version="2.3.0", accelerators=["cpu", "xnnpack"])],
)


async def until(what: str, condition: Callable[[], Any]) -> Any:
    """Waits for a true value of `condition`, which may be a coroutine function; fails naming `what`."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(0.05)
    pytest.fail(what)


async def put(stub: blobs_pb2_grpc.BlobsAsyncStub, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()

    async def parts() -> AsyncIterator[blobs_pb2.PutRequest]:
        header = blobs_pb2.PutHeader(digest=digest, size_bytes=len(content))
        yield blobs_pb2.PutRequest(header=header)
        for start in range(0, len(content), CHUNK_BYTES):
            yield blobs_pb2.PutRequest(data=content[start : start + CHUNK_BYTES])

    await stub.Put(parts())
    return digest


@dataclass
class Board:
    """An enrolled board, attached."""

    device_id: str
    fleet: fleet_pb2_grpc.FleetAsyncStub
    blobs: blobs_pb2_grpc.BlobsAsyncStub
    messages: asyncio.Queue[fleet_pb2.AttachResponse]
    epoch: int

    async def told(self, kind: str) -> fleet_pb2.AttachResponse:
        """The next message of this kind; others are passed over."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = await self.messages.get()
                if message.WhichOneof("message") == kind:
                    return message

    async def claim(self) -> fleet_pb2.Assignment:
        async def claimed() -> fleet_pb2.Assignment | None:
            response = await self.fleet.Claim(fleet_pb2.ClaimRequest(epoch=self.epoch))
            return response.assignment if response.HasField("assignment") else None

        assignment: fleet_pb2.Assignment = await until("an assignment", claimed)
        return assignment

    async def end(self, attempt: fleet_pb2.AttemptRef, sequence: int) -> None:
        end = fleet_pb2.AttemptEnd(outcome=fleet_pb2.ATTEMPT_OUTCOME_COMPLETED)
        await self.fleet.Report(fleet_pb2.ReportRequest(attempt=attempt, sequence=sequence, end=end))


class Laboratory:
    """A coordinator on free ports of loopback, and what its first user holds."""

    def __init__(self, state_dir: Path, **options: Any) -> None:
        self.state_dir = state_dir
        # Beside those that every laboratory has.
        self.options = {"workers": 1, **options}
        self.token: str | None = None
        self._channels: list[grpc.aio.Channel] = []
        self._listening: list[asyncio.Task[None]] = []
        # Other tests' workers, say: none of this laboratory's business.
        self._strangers = set(psutil.Process().children(recursive=True))

    async def start(self) -> Self:
        self.coordinator = await Coordinator.start(
            ServeOptions(
                state_dir=self.state_dir,
                host="127.0.0.1",
                port=0,
                fleet_port=0,
                advertise="localhost",
                **self.options,
            )
        )
        self.token = self.coordinator.owner_token or self.token
        channel = self._channel(self.coordinator.port, bearer=self.token)
        self.lab = lab_pb2_grpc.LabStub(channel)
        self.blobs = blobs_pb2_grpc.BlobsStub(channel)
        return self

    async def stop(self) -> None:
        for task in self._listening:
            task.cancel()
        await asyncio.gather(*self._listening, return_exceptions=True)
        for channel in self._channels:
            await channel.close()
        self._listening, self._channels = [], []
        await self.coordinator.stop()

    def worker_processes(self) -> list[psutil.Process]:
        """Its conversion workers that have loaded TensorFlow, so that they are at a task."""
        found = []
        for process in set(psutil.Process().children(recursive=True)) - self._strangers:
            try:
                if process.memory_info().rss > 300e6:
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def _channel(
        self, port: int, *, bearer: str | None = None, key: bytes | None = None, chain: bytes | None = None
    ) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(self.coordinator.ca_pem.encode(), key, chain)
        if bearer is not None:
            credentials = grpc.composite_channel_credentials(
                credentials, grpc.access_token_call_credentials(bearer)
            )
        channel = grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=OPTIONS)
        self._channels.append(channel)
        return channel

    async def join(self, *, name: str, labels: dict[str, str]) -> Board:
        """A board that joins by a token and attaches."""
        token = await self.lab.CreateJoinToken(lab_pb2.CreateJoinTokenRequest(labels=labels))
        key = ec.generate_private_key(ec.SECP256R1())
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        enrolment = enrolment_pb2_grpc.EnrolmentStub(self._channel(self.coordinator.port))
        response = await enrolment.Enrol(
            enrolment_pb2.EnrolRequest(
                token=token.token,
                csr_pem=csr.public_bytes(serialization.Encoding.PEM).decode(),
                name=name,
                facts=FACTS,
            )
        )
        channel = self._channel(
            self.coordinator.fleet_port,
            key=key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
            chain=response.enrolled.certificate_chain_pem.encode(),
        )
        fleet = fleet_pb2_grpc.FleetStub(channel)
        messages: asyncio.Queue[fleet_pb2.AttachResponse] = asyncio.Queue()
        attach = fleet.Attach()
        hello = fleet_pb2.Hello(protocol_version=PROTOCOL_VERSION, facts=FACTS)
        await attach.write(fleet_pb2.AttachRequest(hello=hello))
        welcome = await attach.read()
        assert isinstance(welcome, fleet_pb2.AttachResponse)

        async def listen() -> None:
            while isinstance(message := await attach.read(), fleet_pb2.AttachResponse):
                messages.put_nowait(message)

        async def beat() -> None:
            for sequence in itertools.count(1):
                await asyncio.sleep(HEARTBEAT_S)
                heartbeat = fleet_pb2.Heartbeat(sequence=sequence)
                await attach.write(fleet_pb2.AttachRequest(heartbeat=heartbeat))

        self._listening += [asyncio.create_task(listen()), asyncio.create_task(beat())]
        return Board(
            device_id=response.enrolled.device_id,
            fleet=fleet,
            blobs=blobs_pb2_grpc.BlobsStub(channel),
            messages=messages,
            epoch=welcome.welcome.epoch,
        )

    async def add_model(self, path: Path, name: str = "") -> lab_pb2.AddModelResponse:
        digest = await put(self.blobs, await asyncio.to_thread(path.read_bytes))
        request = lab_pb2.AddModelRequest(digest=digest, name=name, file_name=path.name)
        response: lab_pb2.AddModelResponse = await self.lab.AddModel(request)
        return response

    async def add_dataset(self, path: Path, name: str = "") -> lab_pb2.AddDatasetResponse:
        digest = await put(self.blobs, await asyncio.to_thread(path.read_bytes))
        request = lab_pb2.AddDatasetRequest(digest=digest, name=name, file_name=path.name)
        response: lab_pb2.AddDatasetResponse = await self.lab.AddDataset(request)
        return response

    async def create(self, *recipes: str, **fields: Any) -> lab_pb2.Study:
        """A study of stripes on every board, but for `fields` of the request."""
        request = {
            "model": "stripes",
            "dataset": "stripes",
            "devices": ["all"],
            "plan": plans.resolve("quick"),
            **fields,
        }
        response = await self.lab.CreateStudy(lab_pb2.CreateStudyRequest(recipes=recipes, **request))
        study: lab_pb2.Study = response.study
        return study

    async def study(self, reference: str) -> lab_pb2.Study:
        response = await self.lab.GetStudy(lab_pb2.GetStudyRequest(study=reference))
        study: lab_pb2.Study = response.study
        return study

    async def watched(self, reference: str, state: lab_pb2.StudyState.ValueType) -> lab_pb2.Study:
        """The study when a watcher first sees it in `state`."""
        async with asyncio.timeout(PATIENCE_S):
            call = self.lab.WatchStudy(lab_pb2.WatchStudyRequest(study=reference))
            async for response in call:
                if response.study.state == state:
                    call.cancel()
                    study: lab_pb2.Study = response.study
                    return study
        pytest.fail(f"the study ended without being in state {state}")

    async def results(self, reference: str) -> list[lab_pb2.ListResultsResponse]:
        call = self.lab.ListResults(lab_pb2.ListResultsRequest(study=reference))
        return [response async for response in call]


async def refused(call: Any) -> refusal_pb2.Refusal:
    """The refusal that `call` ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    refusal = refusals.unpack(caught.value)
    assert refusal is not None, caught.value
    return refusal
