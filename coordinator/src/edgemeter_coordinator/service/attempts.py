"""The transactions of an attempt's life: what `schedule` decides about what `store` has.

Each function is one transaction; the caller tells the boards and the watchers afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from edgemeter_coordinator.refusal import Refused
from edgemeter_coordinator.schedule import leases
from edgemeter_coordinator.schedule.leases import AttemptOutcome, Job, Standing
from edgemeter_coordinator.schedule.reconcile import Held, Reconciliation, reconcile
from edgemeter_coordinator.store import devices, jobs, meters, results
from edgemeter_coordinator.store.database import now_ms
from edgemeter_protos.v1 import fleet_pb2, refusal_pb2
from edgemeter_protos.v1.device_pb2 import DeviceFacts
from edgemeter_protos.v1.result_pb2 import Result


@dataclass(frozen=True, kw_only=True, slots=True)
class Attached:
    """What a Hello led to."""

    epoch: int
    reconciliation: Reconciliation
    # Attempts that the board goes on with and that speak for their jobs.
    kept: tuple[Job, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """What a claim led to."""

    job: Job | None
    # Texts of the meters that users attached to the board.
    meters: tuple[str, ...]
    work: jobs.Work | None
    # Studies in which jobs have failed by the way.
    changed_studies: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reported:
    """What a report led to."""

    disposition: fleet_pb2.ReportDisposition.ValueType
    job: Job


def attach(
    connection: Connection, device_id: str, facts: DeviceFacts, held: Sequence[Held], ttl_ms: int
) -> Attached:
    """Begins a session: raises the board's epoch, and reconciles what it holds with what it should run."""
    epoch = devices.begin_session(connection, device_id, facts)
    known = jobs.known(connection, {attempt.job_id for attempt in held})
    by_id = {job.id: job for job in [*known, *jobs.unended(connection, device_id)]}
    outcome = reconcile(held, by_id, device_id=device_id, now_ms=now_ms(connection), ttl_ms=ttl_ms)
    for job in outcome.changed:
        jobs.save(connection, by_id[job.id], job)
    after = by_id | {job.id: job for job in outcome.changed}
    return Attached(
        epoch=epoch,
        reconciliation=outcome,
        kept=tuple(after[attempt.job_id] for attempt in outcome.keep),
    )


def claim(connection: Connection, device_id: str, epoch: int, ttl_ms: int) -> Claimed:
    """Leases the board its next job.

    Raises Refused (SESSION_SUPERSEDED) for a session that is not the newest.
    """
    newest = devices.epoch_of(connection, device_id)
    if epoch != newest:
        raise Refused(
            refusal_pb2.REFUSAL_REASON_SESSION_SUPERSEDED,
            f"session {epoch} of this board is over: session {newest} is the newest",
        )
    waiting = {job.id: job for job in jobs.unended(connection, device_id)}
    changed_studies = []
    while True:
        decision = leases.claim(waiting.values(), now_ms=now_ms(connection), ttl_ms=ttl_ms)
        for job in decision.exhausted:
            jobs.save(connection, waiting.pop(job.id), job)
            changed_studies.append(job.study_id)
        if decision.start is None:
            return Claimed(job=None, work=None, meters=(), changed_studies=tuple(changed_studies))
        job = decision.start
        work = jobs.work(connection, job.study_id)
        jobs.save(connection, waiting.pop(job.id), job)
        if work.variants:
            return Claimed(
                job=job,
                work=work,
                meters=tuple(each.spec for each in meters.of_device(connection, device_id)),
                changed_studies=(*changed_studies, job.study_id),
            )
        nothing = leases.end(job, AttemptOutcome.JOB_FAILED, "none of the study's variants could be built")
        jobs.save(connection, job, nothing)
        changed_studies.append(job.study_id)


def renew(
    connection: Connection, device_id: str, attempt: Held, ttl_ms: int
) -> tuple[Job | None, leases.RenewDecision]:
    """Extends a lease, or adopts a lost attempt; the job as it was, and the decision."""
    job = jobs.get(connection, attempt.job_id)
    decision = leases.renew(
        job,
        device_id=device_id,
        attempt=attempt.attempt,
        device_is_busy=jobs.is_busy(connection, device_id, but_for=attempt.job_id),
        now_ms=now_ms(connection),
        ttl_ms=ttl_ms,
    )
    if job is not None and decision.job is not None:
        jobs.save(connection, job, decision.job)
    return job, decision


def report_result(
    connection: Connection, device_id: str, attempt: Held, sequence: int, result: Result, ttl_ms: int
) -> Reported:
    """Keeps a result: once, and as evidence only where its attempt has lost the job.

    Raises Refused: ATTEMPT_FENCED for an attempt that this board never had, BAD_REQUEST where the study
    has no such variant, or where the id or the sequence number belongs to another result.
    """
    job, standing = _standing(connection, device_id, attempt)
    place = (attempt.job_id, attempt.attempt, sequence)
    there = results.find(connection, result.id)
    if there == place:
        return Reported(disposition=fleet_pb2.REPORT_DISPOSITION_DUPLICATE, job=job)
    if there is not None or results.is_taken(connection, *place):
        raise Refused(
            refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
            f"report {sequence} of attempt {attempt.attempt} of job {attempt.job_id} was another result",
        )
    if not results.belongs(connection, job.study_id, result.variant_id):
        raise Refused(
            refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
            f"job {attempt.job_id} measures no variant {result.variant_id[:40]!r}",
        )
    if results.is_reported(connection, attempt.job_id, attempt.attempt, result.variant_id):
        raise Refused(
            refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
            f"attempt {attempt.attempt} of job {attempt.job_id} has reported variant {result.variant_id}: "
            "an attempt measures a variant once",
        )
    if standing is Standing.CURRENT:
        job = _adopt(connection, job, ttl_ms)
    late = standing is Standing.FENCED
    results.insert(
        connection,
        job_id=attempt.job_id,
        attempt=attempt.attempt,
        sequence=sequence,
        late=late,
        result=result,
    )
    disposition = fleet_pb2.REPORT_DISPOSITION_LATE if late else fleet_pb2.REPORT_DISPOSITION_ACCEPTED
    return Reported(disposition=disposition, job=job)


def report_end(
    connection: Connection, device_id: str, attempt: Held, outcome: AttemptOutcome, detail: str
) -> Reported:
    """Ends an attempt, and decides what becomes of its job. Raises Refused (ATTEMPT_FENCED)."""
    job, standing = _standing(connection, device_id, attempt)
    if standing is Standing.CURRENT:
        after = leases.end(job, outcome, detail)
        jobs.save(connection, job, after)
        return Reported(disposition=fleet_pb2.REPORT_DISPOSITION_ACCEPTED, job=after)
    repeated = jobs.outcome(connection, attempt.job_id, attempt.attempt) is outcome
    disposition = fleet_pb2.REPORT_DISPOSITION_DUPLICATE if repeated else fleet_pb2.REPORT_DISPOSITION_LATE
    return Reported(disposition=disposition, job=job)


def expire(connection: Connection) -> list[Job]:
    """Puts jobs whose leases have run out back in the queue; those jobs."""
    now = now_ms(connection)
    queued = []
    for job in jobs.lapsed(connection, now):
        after = leases.expired(job, now_ms=now)
        if after is not None and jobs.save(connection, job, after):
            queued.append(after)
    return queued


def _standing(connection: Connection, device_id: str, attempt: Held) -> tuple[Job, Standing]:
    job = jobs.get(connection, attempt.job_id)
    standing = leases.standing(job, device_id=device_id, attempt=attempt.attempt)
    if job is None or standing is Standing.FOREIGN:
        raise Refused(
            refusal_pb2.REFUSAL_REASON_ATTEMPT_FENCED,
            f"this board never had attempt {attempt.attempt} of job {attempt.job_id[:40]!r}",
        )
    return job, standing


def _adopt(connection: Connection, job: Job, ttl_ms: int) -> Job:
    """Takes a lost attempt up again where the board is free for it; its results count either way."""
    if not leases.adoptable(job) or jobs.is_busy(connection, job.device_id, but_for=job.id):
        return job
    held = leases.hold(job, now_ms=now_ms(connection), ttl_ms=ttl_ms)
    jobs.save(connection, job, held)
    return held
