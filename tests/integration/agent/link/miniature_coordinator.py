"""A coordinator in miniature: the three services with their protocol kept, real TLS, and faults on demand."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any, Never

import grpc
import grpc.aio
import zstandard

from edgemeter_protos import PROTOCOL_VERSION, frames, refusals
from edgemeter_protos.v1 import (
    blobs_pb2,
    enrolment_pb2,
    enrolment_pb2_grpc,
    fleet_pb2,
    fleet_pb2_grpc,
    plan_pb2,
    refusal_pb2,
    variant_pb2,
)
from tests.integration.agent.link.authority import Authority
from tests.integration.agent.link.patience import PATIENCE_S

TOKEN = "join-me"

Context = grpc.aio.ServicerContext[Any, Any]
Outbox = asyncio.Queue[fleet_pb2.AttachResponse | None]


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Faults:
    """What goes wrong, by digest."""

    # Break a fetch off after so many bytes, once.
    break_after_bytes: dict[str, int] = field(default_factory=dict)
    # Flip a byte in so many fetches.
    damage_times: dict[str, int] = field(default_factory=dict)
    revoked: bool = False
    pending: bool = False
    silent: bool = False


@dataclass
class Seen:
    """What came in."""

    tokens: list[str] = field(default_factory=list)
    hellos: list[fleet_pb2.Hello] = field(default_factory=list)
    progress: list[fleet_pb2.Progress] = field(default_factory=list)
    offsets: list[tuple[str, int]] = field(default_factory=list)
    renewals: list[fleet_pb2.AttemptRef] = field(default_factory=list)
    claims: int = 0


async def refuse(context: Context, reason: refusal_pb2.RefusalReason.ValueType, message: str) -> Never:
    refusal = refusal_pb2.Refusal(reason=reason, message=message)
    await context.abort(grpc.StatusCode.FAILED_PRECONDITION, message, refusals.pack(refusal))


class Coordinator:
    """Runs in a thread of its own; stop() and start() are a restart that keeps what is stored."""

    def __init__(self, chunk_bytes: int = frames.CHUNK_BYTES) -> None:
        self.authority = Authority()
        self.faults, self.seen = Faults(), Seen()
        self.blobs: dict[str, bytes] = {}
        self.partial: dict[str, bytearray] = {}
        self.queue: list[fleet_pb2.Assignment] = []
        self.lost: set[str] = set()
        self.reports: dict[tuple[str, int, int], fleet_pb2.ReportRequest] = {}
        self.dispositions: list[fleet_pb2.ReportDisposition.ValueType] = []
        self.cancel_held: set[str] = set()
        self.chunk_bytes = chunk_bytes
        self.enrol_port = self.fleet_port = 0
        self._epoch = 0
        self._sessions: list[Outbox] = []
        self._server_identity = self.authority.server()

    # Its life.

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._call(self._serve())

    def stop(self) -> None:
        self._call(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    def _call(self, coroutine: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_S)

    async def _serve(self) -> None:
        options = [("grpc.so_reuseport", 0)]
        self._enrol_server = grpc.aio.server(options=options)
        enrolment_pb2_grpc.add_EnrolmentServicer_to_server(_Enrolment(self), self._enrol_server)
        plain = grpc.ssl_server_credentials([self._server_identity])
        self.enrol_port = self._enrol_server.add_secure_port(f"127.0.0.1:{self.enrol_port}", plain)
        self._fleet_server = grpc.aio.server(options=options)
        fleet_pb2_grpc.add_FleetServicer_to_server(_Fleet(self), self._fleet_server)
        frames.add_blobs_to_server(_Blobs(self), self._fleet_server)
        mutual = grpc.ssl_server_credentials(
            [self._server_identity], root_certificates=self.authority.pem.encode(), require_client_auth=True
        )
        self.fleet_port = self._fleet_server.add_secure_port(f"127.0.0.1:{self.fleet_port}", mutual)
        await self._enrol_server.start()
        await self._fleet_server.start()

    async def _shut(self) -> None:
        for session in self._sessions:
            session.put_nowait(None)
        self._sessions = []
        await asyncio.gather(self._enrol_server.stop(0), self._fleet_server.stop(0))

    # What tests ask of it.

    def offer(
        self,
        job_id: str,
        artifacts: list[bytes],
        *,
        deadline_s: float = 60.0,
        ttl_ms: int = 2000,
        compressed: bool = False,
    ) -> None:
        """Queues a job with one variant an artifact, and nudges."""
        variants = []
        for number, content in enumerate(artifacts):
            golden = b"golden" + content[:10]
            packed = zstandard.ZstdCompressor().compress(content) if compressed else b""
            for blob in filter(None, (content, golden, packed)):
                self.blobs[digest_of(blob)] = blob
            variants.append(
                variant_pb2.Manifest(
                    variant_id=f"v{number}",
                    recipe=f"recipe{number}@tflite",
                    format="tflite",
                    artifact_digest=digest_of(content),
                    size_bytes=len(content),
                    compressed_digest=digest_of(packed) if packed else "",
                    golden=variant_pb2.GoldenPair(digest=digest_of(golden)),
                )
            )
        attempt = fleet_pb2.AttemptRef(job_id=job_id, attempt=1)
        plan = plan_pb2.Plan(profile="quick", deadline_ns=int(deadline_s * 1e9))
        self.queue.append(
            fleet_pb2.Assignment(attempt=attempt, lease_ttl_ms=ttl_ms, plan=plan, variants=variants)
        )
        self.tell(fleet_pb2.AttachResponse(nudge=fleet_pb2.Nudge()))

    def tell(self, message: fleet_pb2.AttachResponse) -> None:
        """Sends to every attached session."""
        for session in list(self._sessions):
            self._loop.call_soon_threadsafe(session.put_nowait, message)

    def cancel(self, job_id: str) -> None:
        ref = fleet_pb2.AttemptRef(job_id=job_id, attempt=1)
        self.tell(
            fleet_pb2.AttachResponse(cancel=fleet_pb2.CancelAttempt(attempt=ref, reason="cancelled by ada"))
        )

    @property
    def attached(self) -> int:
        return len(self._sessions)

    def end_of(self, job_id: str) -> fleet_pb2.AttemptEnd | None:
        for (job, _, _), request in sorted(self.reports.items(), key=lambda item: item[0]):
            if job == job_id and request.HasField("end"):
                return request.end
        return None

    def sequences(self, job_id: str) -> list[int]:
        return sorted(sequence for job, _, sequence in self.reports if job == job_id)


class _Enrolment(enrolment_pb2_grpc.EnrolmentServicer):
    def __init__(self, lab: Coordinator) -> None:
        self.lab = lab

    async def GetAuthority(  # noqa: N802
        self, request: enrolment_pb2.GetAuthorityRequest, context: Context
    ) -> enrolment_pb2.GetAuthorityResponse:
        return enrolment_pb2.GetAuthorityResponse(ca_pem=self.lab.authority.pem)

    async def Enrol(  # noqa: N802
        self, request: enrolment_pb2.EnrolRequest, context: Context
    ) -> enrolment_pb2.EnrolResponse:
        self.lab.seen.tokens.append(request.token)
        if request.token != TOKEN:
            await refuse(
                context,
                refusal_pb2.REFUSAL_REASON_TOKEN_EXPIRED,
                "the token has expired: make another with `edgemeter token new`",
            )
        if self.lab.faults.pending:
            return enrolment_pb2.EnrolResponse(pending=enrolment_pb2.PendingApproval(device_id="d1"))
        return enrolment_pb2.EnrolResponse(
            enrolled=enrolment_pb2.Enrolled(
                device_id="d1",
                name=request.name or request.facts.hostname,
                certificate_chain_pem=self.lab.authority.board(request.csr_pem, "d1"),
                fleet_port=self.lab.fleet_port,
            )
        )


class _Fleet(fleet_pb2_grpc.FleetServicer):
    def __init__(self, lab: Coordinator) -> None:
        self.lab = lab

    async def Attach(  # noqa: N802
        self, requests: AsyncIterator[fleet_pb2.AttachRequest], context: Context
    ) -> AsyncIterator[fleet_pb2.AttachResponse]:
        lab = self.lab
        hello = (await anext(requests)).hello
        lab.seen.hellos.append(hello)
        if lab.faults.revoked:
            message = "this board's certificate is revoked: join again"
            await refuse(context, refusal_pb2.REFUSAL_REASON_DEVICE_UNKNOWN, message)
        lab._epoch += 1
        for older in lab._sessions:
            goodbye = fleet_pb2.Goodbye(reason=fleet_pb2.GOODBYE_REASON_SUPERSEDED)
            older.put_nowait(fleet_pb2.AttachResponse(goodbye=goodbye))
            older.put_nowait(None)
        outbox = Outbox()
        lab._sessions = [outbox]
        reader = asyncio.ensure_future(self._read(requests, outbox))
        try:
            yield fleet_pb2.AttachResponse(
                welcome=fleet_pb2.Welcome(
                    protocol_version=PROTOCOL_VERSION,
                    epoch=lab._epoch,
                    coordinator_version="test",
                    heartbeat_interval_ms=100,
                    keep=[ref for ref in hello.held if ref.job_id not in lab.cancel_held],
                    cancel=[ref for ref in hello.held if ref.job_id in lab.cancel_held],
                )
            )
            while (down := await outbox.get()) is not None:
                yield down
        finally:
            reader.cancel()
            if outbox in lab._sessions:
                lab._sessions.remove(outbox)

    async def _read(self, requests: AsyncIterator[fleet_pb2.AttachRequest], outbox: Outbox) -> None:
        async for request in requests:
            if request.HasField("heartbeat") and not self.lab.faults.silent:
                ack = fleet_pb2.HeartbeatAck(sequence=request.heartbeat.sequence)
                outbox.put_nowait(fleet_pb2.AttachResponse(heartbeat_ack=ack))
            elif request.HasField("progress"):
                self.lab.seen.progress.append(request.progress)
        outbox.put_nowait(None)

    async def Claim(self, request: fleet_pb2.ClaimRequest, context: Context) -> fleet_pb2.ClaimResponse:  # noqa: N802
        self.lab.seen.claims += 1
        if request.epoch != self.lab._epoch:
            await refuse(context, refusal_pb2.REFUSAL_REASON_SESSION_SUPERSEDED, "an older session")
        if not self.lab.queue:
            return fleet_pb2.ClaimResponse()
        return fleet_pb2.ClaimResponse(assignment=self.lab.queue.pop(0))

    async def Renew(self, request: fleet_pb2.RenewRequest, context: Context) -> fleet_pb2.RenewResponse:  # noqa: N802
        self.lab.seen.renewals.append(request.attempt)
        if request.attempt.job_id in self.lab.lost:
            return fleet_pb2.RenewResponse(state=fleet_pb2.LEASE_STATE_LOST, reason="another board has it")
        return fleet_pb2.RenewResponse(state=fleet_pb2.LEASE_STATE_HELD, lease_ttl_ms=400)

    async def Report(self, request: fleet_pb2.ReportRequest, context: Context) -> fleet_pb2.ReportResponse:  # noqa: N802
        lab = self.lab
        digest = request.result.samples_digest
        if digest and digest not in lab.blobs:
            await refuse(context, refusal_pb2.REFUSAL_REASON_BLOB_MISSING, f"no blob {digest}")
        key = (request.attempt.job_id, request.attempt.attempt, request.sequence)
        assert key not in lab.reports or lab.reports[key] == request
        accepted = fleet_pb2.REPORT_DISPOSITION_ACCEPTED
        disposition = fleet_pb2.REPORT_DISPOSITION_DUPLICATE if key in lab.reports else accepted
        lab.reports[key] = request
        lab.dispositions.append(disposition)
        return fleet_pb2.ReportResponse(disposition=disposition)


class _Blobs:
    def __init__(self, lab: Coordinator) -> None:
        self.lab = lab

    async def stat(self, request: blobs_pb2.StatRequest, context: Context) -> blobs_pb2.StatResponse:
        if request.digest in self.lab.blobs:
            size_bytes = len(self.lab.blobs[request.digest])
            return blobs_pb2.StatResponse(complete=True, size_bytes=size_bytes)
        return blobs_pb2.StatResponse(size_bytes=len(self.lab.partial.get(request.digest, b"")))

    async def fetch(self, request: blobs_pb2.FetchRequest, context: Context) -> AsyncIterator[frames.Chunk]:
        lab, digest = self.lab, request.digest
        lab.seen.offsets.append((digest, request.offset_bytes))
        if digest not in lab.blobs:
            await refuse(context, refusal_pb2.REFUSAL_REASON_BLOB_MISSING, f"no blob {digest[:12]}")
        content = lab.blobs[digest]
        if request.offset_bytes > len(content):
            await refuse(context, refusal_pb2.REFUSAL_REASON_BAD_REQUEST, "beyond the end")
        if lab.faults.damage_times.get(digest, 0):
            lab.faults.damage_times[digest] -= 1
            content = content[:-1] + bytes((content[-1] ^ 1,))
        break_at = lab.faults.break_after_bytes.pop(digest, None)
        for start in range(request.offset_bytes, len(content), lab.chunk_bytes):
            if break_at is not None and start >= break_at:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the line broke")
            yield content[start : start + lab.chunk_bytes]

    async def put(self, parts: AsyncIterator[frames.PutPart], context: Context) -> blobs_pb2.PutResponse:
        header = await anext(parts)
        assert isinstance(header, blobs_pb2.PutHeader)
        received = self.lab.partial.setdefault(header.digest, bytearray())
        assert header.offset_bytes == len(received)
        async for part in parts:
            assert not isinstance(part, blobs_pb2.PutHeader)
            received += part
        content = bytes(self.lab.partial.pop(header.digest))
        assert len(content) == header.size_bytes
        if digest_of(content) != header.digest:
            await refuse(context, refusal_pb2.REFUSAL_REASON_BLOB_DAMAGED, "damaged")
        self.lab.blobs[header.digest] = content
        return blobs_pb2.PutResponse()
