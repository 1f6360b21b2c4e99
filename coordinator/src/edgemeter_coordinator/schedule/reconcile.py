"""What a board that attaches holds, against what the database says that it should run. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgemeter_coordinator.schedule.leases import Job, JobState, Standing, adoptable, hold, lose, standing


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """An attempt that a board runs or has yet to report."""

    job_id: str
    attempt: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Reconciliation:
    keep: tuple[Held, ...]
    cancel: tuple[Held, ...]
    # Jobs whose rows change: adopted, or back in the queue.
    changed: tuple[Job, ...]


def reconcile(
    held: Sequence[Held], jobs: Mapping[str, Job], *, device_id: str, now_ms: int, ttl_ms: int
) -> Reconciliation:
    """What becomes of the attempts that a board holds, and of the jobs that it should run.

    `jobs` has every job named in `held` that exists, and every unended one of the board, by id. Attempts that
    speak for their jobs are kept. A job that the board is supposed to run and does not hold goes back to
    the queue. Of the lost attempts that it still holds, the oldest job's is adopted unless a job runs; the
    others' reports count all the same until their jobs are claimed anew.
    """
    keep: list[Held] = []
    cancel: list[Held] = []
    for attempt in dict.fromkeys(held):
        job = jobs.get(attempt.job_id)
        current = standing(job, device_id=device_id, attempt=attempt.attempt) is Standing.CURRENT
        (keep if current else cancel).append(attempt)
    kept = [jobs[attempt.job_id] for attempt in keep]
    running = [job for job in jobs.values() if job.device_id == device_id and job.state is JobState.RUNNING]
    changed = [
        hold(job, now_ms=now_ms, ttl_ms=ttl_ms) if job in kept else lose(job, "the board no longer holds it")
        for job in running
    ]
    if not any(job in kept for job in running):
        lost = sorted((job for job in kept if adoptable(job)), key=lambda job: (job.created_at_ms, job.id))
        changed += [hold(job, now_ms=now_ms, ttl_ms=ttl_ms) for job in lost[:1]]
    return Reconciliation(keep=tuple(keep), cancel=tuple(cancel), changed=tuple(changed))
