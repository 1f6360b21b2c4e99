"""What boards say and ask: sessions, claims, renewals, reports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from edgemeter_coordinator.blobs import BlobStore
from edgemeter_coordinator.refusal import Refused
from edgemeter_coordinator.schedule.leases import AttemptOutcome, Job, JobState
from edgemeter_coordinator.schedule.reconcile import Held
from edgemeter_coordinator.service import access, attempts
from edgemeter_coordinator.service.access import Context
from edgemeter_coordinator.service.background import Background
from edgemeter_coordinator.service.changes import Changes
from edgemeter_coordinator.service.scoring import Scorer
from edgemeter_coordinator.service.sessions import Session, Sessions
from edgemeter_coordinator.store import devices
from edgemeter_coordinator.store.database import Database
from edgemeter_protos import PROTOCOL_VERSION
from edgemeter_protos.v1 import fleet_pb2, fleet_pb2_grpc, refusal_pb2
from edgemeter_protos.v1.device_pb2 import DeviceFacts
from edgemeter_protos.v1.result_pb2 import Result

HELLO_TIMEOUT_S = 10
MAX_HELD = 256
MAX_FACTS_BYTES = 64 * 1024
MAX_ID_CHARACTERS = 32

_OUTCOMES = {
    fleet_pb2.ATTEMPT_OUTCOME_COMPLETED: AttemptOutcome.COMPLETED,
    fleet_pb2.ATTEMPT_OUTCOME_JOB_FAILED: AttemptOutcome.JOB_FAILED,
    fleet_pb2.ATTEMPT_OUTCOME_DEVICE_FAILED: AttemptOutcome.DEVICE_FAILED,
    fleet_pb2.ATTEMPT_OUTCOME_CANCELLED: AttemptOutcome.CANCELLED,
}


@dataclass(frozen=True, kw_only=True)
class FleetOptions:
    lease_ttl_ms: int
    heartbeat_interval_ms: int
    coordinator_version: str


class FleetService(fleet_pb2_grpc.FleetServicer):
    def __init__(
        self,
        *,
        database: Database,
        blobs: BlobStore,
        sessions: Sessions,
        changes: Changes,
        scorer: Scorer,
        background: Background,
        options: FleetOptions,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._sessions = sessions
        self._changes = changes
        self._scorer = scorer
        self._background = background
        self._options = options

    async def Attach(  # type: ignore[override]  # noqa: N802 - writes itself, so that its end is seen
        self, request_iterator: AsyncIterator[fleet_pb2.AttachRequest], context: Context
    ) -> None:
        device_id = access.board().device_id
        hello = await _hello(request_iterator)
        if hello.protocol_version != PROTOCOL_VERSION:
            await context.write(_mismatch(hello))
            return
        attached = await self._attached(device_id, hello)
        session = Session(device_id, attached.epoch)
        listening: asyncio.Task[None] | None = None
        try:
            await self._welcome(session, attached, context)
            listening = asyncio.create_task(self._listen(session, request_iterator))
            while (message := await session.next()) is not None:
                await context.write(message)
        finally:
            if listening is not None:
                listening.cancel()
            self._sessions.remove(session)
            self._background.spawn(
                self._database.transact(devices.end_session, device_id, session.epoch),
                f"end of session {session.epoch} of {device_id}",
            )

    async def Claim(  # noqa: N802
        self,
        request: fleet_pb2.ClaimRequest,
        context: Context,  # noqa: ARG002
    ) -> fleet_pb2.ClaimResponse:
        device_id = access.board().device_id
        ttl_ms = self._options.lease_ttl_ms
        claimed = await self._database.transact(attempts.claim, device_id, request.epoch, ttl_ms)
        if claimed.job is not None:
            self._started(claimed.job)
        for study_id in claimed.changed_studies:
            self._changes.notify(study_id)
        if claimed.job is None or claimed.work is None:
            return fleet_pb2.ClaimResponse()
        assignment = fleet_pb2.Assignment(
            attempt=fleet_pb2.AttemptRef(job_id=claimed.job.id, attempt=claimed.job.attempt),
            study_id=claimed.job.study_id,
            lease_ttl_ms=ttl_ms,
            plan=claimed.work.plan,
            variants=claimed.work.variants,
            evaluation=claimed.work.evaluation,
            meters=claimed.meters,
        )
        return fleet_pb2.ClaimResponse(assignment=assignment)

    async def Renew(  # noqa: N802
        self,
        request: fleet_pb2.RenewRequest,
        context: Context,  # noqa: ARG002
    ) -> fleet_pb2.RenewResponse:
        ttl_ms = self._options.lease_ttl_ms
        before, decision = await self._database.transact(
            attempts.renew, access.board().device_id, _held(request.attempt), ttl_ms
        )
        if decision.job is None:
            return fleet_pb2.RenewResponse(state=fleet_pb2.LEASE_STATE_LOST, reason=decision.reason)
        if before is not None and before.state is not JobState.RUNNING:
            self._started(decision.job)
            self._changes.notify(decision.job.study_id)
        return fleet_pb2.RenewResponse(state=fleet_pb2.LEASE_STATE_HELD, lease_ttl_ms=ttl_ms)

    async def Report(  # noqa: N802
        self,
        request: fleet_pb2.ReportRequest,
        context: Context,  # noqa: ARG002
    ) -> fleet_pb2.ReportResponse:
        if request.sequence < 1:
            raise _bad_request("reports are numbered from 1")
        match request.WhichOneof("report"):
            case "result":
                reported = await self._result(request)
            case "end":
                reported = await self._end(request)
            case _:
                raise _bad_request("a report says a result or the end of an attempt")
        self._changes.notify(reported.job.study_id)
        return fleet_pb2.ReportResponse(disposition=reported.disposition)

    async def _result(self, request: fleet_pb2.ReportRequest) -> attempts.Reported:
        result = request.result
        if not 1 <= len(result.id) <= MAX_ID_CHARACTERS:
            raise _bad_request(f"a result's id has 1 to {MAX_ID_CHARACTERS} characters")
        self._check_blobs(result)
        reported = await self._database.transact(
            attempts.report_result,
            access.board().device_id,
            _held(request.attempt),
            request.sequence,
            result,
            self._options.lease_ttl_ms,
        )
        if reported.disposition != fleet_pb2.REPORT_DISPOSITION_DUPLICATE:
            self._background.spawn(
                self._score(result.id, reported.job.study_id), f"scoring of result {result.id}"
            )
        return reported

    async def _end(self, request: fleet_pb2.ReportRequest) -> attempts.Reported:
        outcome = _OUTCOMES.get(request.end.outcome)
        if outcome is None:
            raise _bad_request(f"{request.end.outcome} is no outcome of an attempt")
        reported = await self._database.transact(
            attempts.report_end,
            access.board().device_id,
            _held(request.attempt),
            outcome,
            request.end.detail,
        )
        if reported.disposition == fleet_pb2.REPORT_DISPOSITION_ACCEPTED:
            self._sessions.stopped(reported.job.id)
            # It may have asked for its next job before this report was in.
            self._sessions.nudge([reported.job.device_id])
        return reported

    async def _score(self, result_id: str, study_id: str) -> None:
        await self._scorer.score(result_id)
        self._changes.notify(study_id)

    async def _attached(self, device_id: str, hello: fleet_pb2.Hello) -> attempts.Attached:
        _check_facts(hello.facts)
        if len(hello.held) > MAX_HELD:
            raise _bad_request(f"{len(hello.held)} attempts are held: at most {MAX_HELD} can be")
        return await self._database.transact(
            attempts.attach,
            device_id,
            hello.facts,
            [_held(attempt) for attempt in hello.held],
            self._options.lease_ttl_ms,
        )

    async def _welcome(self, session: Session, attached: attempts.Attached, context: Context) -> None:
        reconciliation = attached.reconciliation
        welcome = fleet_pb2.Welcome(
            protocol_version=PROTOCOL_VERSION,
            epoch=attached.epoch,
            coordinator_version=self._options.coordinator_version,
            heartbeat_interval_ms=self._options.heartbeat_interval_ms,
            keep=_refs(reconciliation.keep),
            cancel=_refs(reconciliation.cancel),
        )
        # Before the session is known, so that nothing else comes first on the stream.
        await context.write(fleet_pb2.AttachResponse(welcome=welcome))
        self._sessions.add(session)
        for job in attached.kept:
            if job.state is JobState.RUNNING:
                self._started(job)
        for job in reconciliation.changed:
            self._changes.notify(job.study_id)
        self._sessions.nudge([session.device_id])

    async def _listen(self, session: Session, messages: AsyncIterator[fleet_pb2.AttachRequest]) -> None:
        try:
            async for message in messages:
                session.heard()
                match message.WhichOneof("message"):
                    case "heartbeat":
                        ack = fleet_pb2.HeartbeatAck(sequence=message.heartbeat.sequence)
                        session.send(fleet_pb2.AttachResponse(heartbeat_ack=ack))
                    case "progress":
                        self._sessions.note_progress(session.device_id, message.progress)
        finally:
            session.end()

    def _started(self, job: Job) -> None:
        self._sessions.started(job.id, study_id=job.study_id, device_id=job.device_id, attempt=job.attempt)

    def _check_blobs(self, result: Result) -> None:
        for digest in (result.samples_digest, result.outputs_digest, result.trace_digest):
            if digest and not self._blobs.stat(digest)[0]:
                raise Refused(
                    refusal_pb2.REFUSAL_REASON_BLOB_MISSING,
                    f"result {result.id} names blob {digest[:12]}, which is not here: put it first",
                )


async def _hello(messages: AsyncIterator[fleet_pb2.AttachRequest]) -> fleet_pb2.Hello:
    try:
        async with asyncio.timeout(HELLO_TIMEOUT_S):
            first = await anext(aiter(messages), None)
    except TimeoutError:
        raise _bad_request(f"no hello came within {HELLO_TIMEOUT_S} s") from None
    if first is None or not first.HasField("hello"):
        raise _bad_request("a stream begins with a hello")
    return first.hello


def _mismatch(hello: fleet_pb2.Hello) -> fleet_pb2.AttachResponse:
    older = "agent" if hello.protocol_version < PROTOCOL_VERSION else "coordinator"
    goodbye = fleet_pb2.Goodbye(
        reason=fleet_pb2.GOODBYE_REASON_PROTOCOL_MISMATCH,
        detail=f"the agent speaks protocol {hello.protocol_version}, the coordinator {PROTOCOL_VERSION}: "
        f"upgrade the {older}",
    )
    return fleet_pb2.AttachResponse(goodbye=goodbye)


def _check_facts(facts: DeviceFacts) -> None:
    if facts.ByteSize() > MAX_FACTS_BYTES:
        raise Refused(
            refusal_pb2.REFUSAL_REASON_TOO_LARGE,
            f"the board's facts take {facts.ByteSize()} bytes: at most {MAX_FACTS_BYTES} are kept",
        )


def _held(attempt: fleet_pb2.AttemptRef) -> Held:
    return Held(job_id=attempt.job_id, attempt=attempt.attempt)


def _refs(attempts_: Iterable[Held]) -> list[fleet_pb2.AttemptRef]:
    return [fleet_pb2.AttemptRef(job_id=held.job_id, attempt=held.attempt) for held in attempts_]


def _bad_request(message: str) -> Refused:
    return Refused(refusal_pb2.REFUSAL_REASON_BAD_REQUEST, message)
