"""Jobs and their attempts. Who may write is decided by `schedule.leases`; every write that belongs to an
attempt says of which attempt and which board, so that a stale decision changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, select

from edgemeter_coordinator.ids import new_id
from edgemeter_coordinator.schedule import leases
from edgemeter_coordinator.schedule.leases import AttemptOutcome, Job, JobState
from edgemeter_coordinator.store.database import now_ms
from edgemeter_coordinator.store.schema import (
    attempts,
    datasets,
    devices,
    jobs,
    studies,
    study_variants,
    variants,
)
from edgemeter_protos.v1.fleet_pb2 import AttemptRef, EvaluationInputs
from edgemeter_protos.v1.lab_pb2 import Dataset
from edgemeter_protos.v1.plan_pb2 import Plan
from edgemeter_protos.v1.variant_pb2 import Manifest

UNENDED = (JobState.WAITING, JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyJob:
    """A job as a study shows it."""

    id: str
    device_id: str
    device_name: str
    state: JobState
    attempt: int
    detail: str
    created_at_ms: int
    ended_at_ms: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What a job's board is given to do."""

    plan: Plan
    # Those that are ready, the baseline first.
    variants: Sequence[Manifest]
    # None where the study has no evaluation data.
    evaluation: EvaluationInputs | None


def create(
    connection: Connection, study_id: str, device_ids: Sequence[str], state: JobState | str
) -> list[str]:
    """A job for each of a study's boards; their ids, in the order of `device_ids`."""
    now = now_ms(connection)
    rows = [
        {
            "id": new_id(),
            "study_id": study_id,
            "device_id": device_id,
            "state": JobState(state),
            "attempt": 0,
            "created_at_ms": now,
        }
        for device_id in device_ids
    ]
    if rows:
        connection.execute(jobs.insert(), rows)
    return [str(row["id"]) for row in rows]


def release(connection: Connection, study_id: str) -> list[str]:
    """Queues a study's waiting jobs, its variants being built; the boards to nudge."""
    return list(
        connection.execute(
            jobs.update()
            .where(jobs.c.study_id == study_id, jobs.c.state == JobState.WAITING)
            .values(state=JobState.QUEUED, detail="")
            .returning(jobs.c.device_id)
        ).scalars()
    )


def fail_waiting(connection: Connection, study_id: str, detail: str) -> list[str]:
    """Fails a study's waiting jobs, there being nothing to measure; their ids."""
    return list(
        connection.execute(
            jobs.update()
            .where(jobs.c.study_id == study_id, jobs.c.state == JobState.WAITING)
            .values(state=JobState.FAILED, detail=detail, ended_at_ms=now_ms(connection))
            .returning(jobs.c.id)
        ).scalars()
    )


def cancel_study(
    connection: Connection, study_id: str, reason: str = "the study was cancelled"
) -> list[tuple[str, AttemptRef]]:
    """Cancels a study's jobs that have not ended.

    (device id, attempt) of those that a board may be running is returned: those boards are to be told.
    """
    told = []
    for job in _jobs(connection, _leased().where(jobs.c.study_id == study_id)):
        cancelled = leases.cancel(job, reason)
        if cancelled is None:
            continue
        save(connection, job, cancelled)
        if job.state is JobState.RUNNING or leases.adoptable(job):
            told.append((job.device_id, AttemptRef(job_id=job.id, attempt=job.attempt)))
    return told


def of_study(connection: Connection, study_id: str) -> list[StudyJob]:
    """A study's jobs, by the names of their boards."""
    rows = connection.execute(
        select(jobs, devices.c.name.label("device_name"))
        .join(devices, devices.c.id == jobs.c.device_id)
        .where(jobs.c.study_id == study_id)
        .order_by(devices.c.name)
    )
    return [
        StudyJob(
            id=row.id,
            device_id=row.device_id,
            device_name=row.device_name,
            state=JobState(row.state),
            attempt=row.attempt,
            detail=row.detail,
            created_at_ms=row.created_at_ms,
            ended_at_ms=row.ended_at_ms,
        )
        for row in rows
    ]


def running(connection: Connection) -> dict[str, str]:
    """Device id -> id of the job that it runs."""
    rows = connection.execute(select(jobs.c.device_id, jobs.c.id).where(jobs.c.state == JobState.RUNNING))
    return {row.device_id: row.id for row in rows}


def get(connection: Connection, job_id: str) -> Job | None:
    """The job with this id."""
    return next(iter(_jobs(connection, _leased().where(jobs.c.id == job_id))), None)


def known(connection: Connection, job_ids: Iterable[str]) -> list[Job]:
    """Those of these jobs that exist."""
    return _jobs(connection, _leased().where(jobs.c.id.in_(list(job_ids))))


def unended(connection: Connection, device_id: str) -> list[Job]:
    """A board's jobs that wait, are queued or run, the oldest first."""
    return _jobs(
        connection,
        _leased()
        .where(jobs.c.device_id == device_id, jobs.c.state.in_(UNENDED))
        .order_by(jobs.c.created_at_ms, jobs.c.id),
    )


def is_busy(connection: Connection, device_id: str, *, but_for: str) -> bool:
    """Whether a board runs a job other than `but_for`."""
    row = connection.execute(
        select(jobs.c.id).where(
            jobs.c.device_id == device_id, jobs.c.state == JobState.RUNNING, jobs.c.id != but_for
        )
    ).first()
    return row is not None


def lapsed(connection: Connection, now: int) -> list[Job]:
    """Running jobs whose leases have run out at `now` (ms)."""
    return _jobs(
        connection,
        _leased().where(jobs.c.state == JobState.RUNNING, jobs.c.lease_expires_at_ms <= now),
    )


def extend_leases(connection: Connection, ttl_ms: int) -> None:
    """Gives every running job its whole time again: nobody could renew while the coordinator was away."""
    connection.execute(
        jobs.update()
        .where(jobs.c.state == JobState.RUNNING)
        .values(lease_expires_at_ms=now_ms(connection) + ttl_ms)
    )


def save(connection: Connection, before: Job, after: Job) -> bool:
    """Writes a decision: the job, and its newest attempt with it.

    False, and nothing is written, where the job is no longer as it was `before`.
    """
    now = now_ms(connection)
    changed = connection.execute(
        jobs.update()
        .where(
            jobs.c.id == before.id,
            jobs.c.device_id == before.device_id,
            jobs.c.attempt == before.attempt,
            jobs.c.state == before.state,
        )
        .values(
            state=after.state,
            attempt=after.attempt,
            lease_expires_at_ms=after.lease_expires_at_ms,
            detail=after.detail,
            ended_at_ms=now if after.state in leases.ENDED else None,
        )
    )
    if changed.rowcount == 0:
        return False
    if after.attempt > before.attempt:
        connection.execute(
            attempts.insert().values(
                job_id=after.id, number=after.attempt, device_id=after.device_id, started_at_ms=now
            )
        )
    elif after.outcome is not before.outcome:
        connection.execute(
            attempts.update()
            .where(_attempt(after.id, after.attempt), attempts.c.device_id == after.device_id)
            .values(
                outcome=after.outcome,
                detail=after.detail,
                ended_at_ms=None if after.outcome is None else now,
            )
        )
    return True


def outcome(connection: Connection, job_id: str, attempt: int) -> AttemptOutcome | None:
    """How an attempt ended; None while it runs."""
    value = connection.execute(
        select(attempts.c.outcome).where(_attempt(job_id, attempt))
    ).scalar_one_or_none()
    return None if value is None else AttemptOutcome(value)


def may_report(connection: Connection, device_id: str) -> bool:
    """Whether a board may yet have reports: of a live attempt, or of one that was taken away."""
    row = connection.execute(
        select(attempts.c.job_id)
        .where(
            attempts.c.device_id == device_id,
            attempts.c.outcome.is_(None)
            | attempts.c.outcome.in_((AttemptOutcome.LOST, AttemptOutcome.CANCELLED)),
        )
        .limit(1)
    ).first()
    return row is not None


def work(connection: Connection, study_id: str) -> Work:
    """What the boards of a study measure. Variants that failed are left out."""
    study = connection.execute(
        select(studies.c.plan, datasets.c.evaluation_inputs_blob, datasets.c.description)
        .join(datasets, datasets.c.digest == studies.c.dataset_digest)
        .where(studies.c.id == study_id)
    ).one()
    evaluation = None
    if study.evaluation_inputs_blob:
        splits = Dataset.FromString(study.description).splits
        evaluation = EvaluationInputs(
            digest=study.evaluation_inputs_blob,
            samples=sum(split.samples for split in splits if split.name == "evaluation"),
        )
    return Work(
        plan=Plan.FromString(study.plan),
        variants=_ready(connection, study_variants.c.study_id == study_id),
        evaluation=evaluation,
    )


def leased_blobs(connection: Connection, device_id: str) -> frozenset[str]:
    """Digests of the blobs that the job leased by a board needs, in each form in which they travel."""
    study = connection.execute(
        select(jobs.c.study_id, datasets.c.evaluation_inputs_blob)
        .join(studies, studies.c.id == jobs.c.study_id)
        .join(datasets, datasets.c.digest == studies.c.dataset_digest)
        .where(jobs.c.device_id == device_id, jobs.c.state == JobState.RUNNING)
    ).one_or_none()
    if study is None:
        return frozenset()
    digests = {study.evaluation_inputs_blob}
    for manifest in _ready(connection, study_variants.c.study_id == study.study_id):
        digests |= {manifest.artifact_digest, manifest.compressed_digest, manifest.golden.digest}
    return frozenset(digest for digest in digests if digest)


def _ready(connection: Connection, where: ColumnElement[bool]) -> list[Manifest]:
    """What a board is to measure: variants without a runtime are for the coordinator only."""
    rows = connection.execute(
        select(variants.c.manifest)
        .join(study_variants, study_variants.c.variant_id == variants.c.id)
        .where(where, variants.c.state == "ready", study_variants.c.error.is_(None))
        .order_by(study_variants.c.position)
    )
    manifests = [Manifest.FromString(row.manifest) for row in rows]
    return [manifest for manifest in manifests if manifest.runtimes]


def _attempt(job_id: str, number: int) -> ColumnElement[bool]:
    return and_(attempts.c.job_id == job_id, attempts.c.number == number)


def _leased() -> Select[Any]:
    newest = and_(attempts.c.job_id == jobs.c.id, attempts.c.number == jobs.c.attempt)
    return select(jobs, attempts.c.outcome).select_from(jobs).outerjoin(attempts, newest)


def _jobs(connection: Connection, statement: Select[Any]) -> list[Job]:
    return [_job(row) for row in connection.execute(statement)]


def _job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        study_id=row.study_id,
        device_id=row.device_id,
        state=JobState(row.state),
        attempt=row.attempt,
        outcome=None if row.outcome is None else AttemptOutcome(row.outcome),
        lease_expires_at_ms=row.lease_expires_at_ms,
        created_at_ms=row.created_at_ms,
        detail=row.detail,
    )
