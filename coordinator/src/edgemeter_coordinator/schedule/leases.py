"""Leases of jobs, as pure functions: who may run a job now, and what a report is worth.

A job is leased to the board that it was made for, one attempt at a time; attempts are numbered from 1 and
the numbers only rise. The newest attempt speaks for the job. When its lease runs out the job goes back to
the queue, but until the board claims it anew that attempt is still the newest: should it turn out that the
board was only out of reach, it takes up its job again (it is *adopted*) and no work is lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

MAX_ATTEMPTS = 5
"""A job that took this many attempts without an end is given up."""


class JobState(StrEnum):
    WAITING = "waiting"  # for its variants
    QUEUED = "queued"  # for its device
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})


class AttemptOutcome(StrEnum):
    COMPLETED = "completed"
    JOB_FAILED = "job_failed"
    DEVICE_FAILED = "device_failed"
    CANCELLED = "cancelled"
    LOST = "lost"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What leases are decided by."""

    id: str
    study_id: str
    device_id: str
    state: JobState
    # The newest one; 0 before the first.
    attempt: int
    # Of the newest attempt; None while it runs, and before the first.
    outcome: AttemptOutcome | None
    lease_expires_at_ms: int | None
    created_at_ms: int
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimDecision:
    """What a board that asks for a job gets."""

    start: Job | None
    # Jobs met on the way that have had their attempts: they have failed now.
    exhausted: tuple[Job, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class RenewDecision:
    """Whether an attempt may go on; `job` is its new state then, and `reason` says why not otherwise."""

    job: Job | None
    reason: str = ""


class Standing(StrEnum):
    """What an attempt is to its job when a report of it arrives."""

    CURRENT = "current"  # it speaks for the job
    FENCED = "fenced"  # it was this board's, but has lost the job: evidence only
    FOREIGN = "foreign"  # there was no such attempt on this board


def claim(jobs: Iterable[Job], *, now_ms: int, ttl_ms: int) -> ClaimDecision:
    """The next of a board's unended `jobs`: the oldest that is queued, and none while one runs."""
    unended = sorted(jobs, key=lambda job: (job.created_at_ms, job.id))
    if any(job.state is JobState.RUNNING for job in unended):
        return ClaimDecision(start=None)
    exhausted: list[Job] = []
    for job in unended:
        if job.state is not JobState.QUEUED:
            continue
        if job.attempt >= MAX_ATTEMPTS:
            exhausted.append(_given_up(job, job.detail))
            continue
        started = replace(
            job,
            state=JobState.RUNNING,
            attempt=job.attempt + 1,
            outcome=None,
            lease_expires_at_ms=now_ms + ttl_ms,
            detail="",
        )
        return ClaimDecision(start=started, exhausted=tuple(exhausted))
    return ClaimDecision(start=None, exhausted=tuple(exhausted))


def renew(
    job: Job | None, *, device_id: str, attempt: int, device_is_busy: bool, now_ms: int, ttl_ms: int
) -> RenewDecision:
    """Whether `attempt` of a board keeps its job for another `ttl_ms`.

    `device_is_busy` says whether the board runs another job: then a lost one can't be adopted.
    """
    if job is None or job.device_id != device_id:
        return RenewDecision(job=None, reason="this board was given no such job")
    if attempt != job.attempt:
        return RenewDecision(job=None, reason=f"attempt {job.attempt} has the job now")
    if job.state is JobState.RUNNING or (adoptable(job) and not device_is_busy):
        return RenewDecision(job=hold(job, now_ms=now_ms, ttl_ms=ttl_ms))
    if adoptable(job):
        return RenewDecision(job=None, reason="the lease ran out and the board runs another job now")
    return RenewDecision(job=None, reason=job.detail or f"the job is {job.state}")


def hold(job: Job, *, now_ms: int, ttl_ms: int) -> Job:
    """The job with its newest attempt running and its lease fresh."""
    return replace(job, state=JobState.RUNNING, outcome=None, lease_expires_at_ms=now_ms + ttl_ms, detail="")


def adoptable(job: Job) -> bool:
    """Whether the newest attempt was lost and nothing has happened to the job since."""
    return job.state is JobState.QUEUED and job.outcome is AttemptOutcome.LOST


def expired(job: Job, *, now_ms: int) -> Job | None:
    """The job back in the queue, where its lease has run out; else None."""
    lapsed = job.lease_expires_at_ms is not None and job.lease_expires_at_ms <= now_ms
    if job.state is not JobState.RUNNING or not lapsed:
        return None
    return lose(job, "the board did not renew its lease in time")


def lose(job: Job, detail: str) -> Job:
    """The running `job` back in the queue; its attempt may yet be adopted."""
    return replace(
        job,
        state=JobState.QUEUED,
        outcome=AttemptOutcome.LOST,
        lease_expires_at_ms=None,
        detail=detail,
    )


def standing(job: Job | None, *, device_id: str, attempt: int) -> Standing:
    """What `attempt` of a board is to its job."""
    if job is None or job.device_id != device_id or not 1 <= attempt <= job.attempt:
        return Standing.FOREIGN
    if attempt == job.attempt and (job.state is JobState.RUNNING or adoptable(job)):
        return Standing.CURRENT
    return Standing.FENCED


def end(job: Job, outcome: AttemptOutcome, detail: str) -> Job:
    """The job after its current attempt ended by itself with `outcome`."""
    match outcome:
        case AttemptOutcome.COMPLETED:
            return _ended(job, JobState.COMPLETED, outcome, detail)
        case AttemptOutcome.JOB_FAILED:
            return _ended(job, JobState.FAILED, outcome, detail)
        case AttemptOutcome.CANCELLED:
            return _ended(job, JobState.CANCELLED, outcome, detail)
        case AttemptOutcome.DEVICE_FAILED if job.attempt >= MAX_ATTEMPTS:
            return _given_up(replace(job, outcome=outcome), detail)
        case AttemptOutcome.DEVICE_FAILED:
            return replace(
                job, state=JobState.QUEUED, outcome=outcome, lease_expires_at_ms=None, detail=detail
            )
        case AttemptOutcome.LOST:
            return lose(job, detail)


def cancel(job: Job, reason: str) -> Job | None:
    """The job cancelled by a person; None where it had ended before."""
    if job.state in ENDED:
        return None
    outcome = AttemptOutcome.CANCELLED if job.state is JobState.RUNNING else job.outcome
    return replace(job, state=JobState.CANCELLED, outcome=outcome, lease_expires_at_ms=None, detail=reason)


def _ended(job: Job, state: JobState, outcome: AttemptOutcome, detail: str) -> Job:
    return replace(job, state=state, outcome=outcome, lease_expires_at_ms=None, detail=detail)


def _given_up(job: Job, detail: str) -> Job:
    return replace(
        job,
        state=JobState.FAILED,
        lease_expires_at_ms=None,
        detail=f"given up after {job.attempt} attempts; the last one: {detail or 'no reason known'}",
    )
