from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edgemeter_coordinator.schedule import leases
from edgemeter_coordinator.schedule.leases import MAX_ATTEMPTS, AttemptOutcome, Job, JobState, Standing

NOW = 1_000_000
TTL = 60_000


def job(**changes: Any) -> Job:
    usual = Job(
        id="job",
        study_id="study",
        device_id="board",
        state=JobState.QUEUED,
        attempt=0,
        outcome=None,
        lease_expires_at_ms=None,
        created_at_ms=0,
    )
    return replace(usual, **changes)


def running(**changes: Any) -> Job:
    return replace(job(state=JobState.RUNNING, attempt=1, lease_expires_at_ms=NOW + TTL), **changes)


def lost(**changes: Any) -> Job:
    return replace(job(attempt=1, outcome=AttemptOutcome.LOST), **changes)


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        pytest.param([], None, id="nothing there"),
        pytest.param([job()], "job", id="a queued job"),
        pytest.param([job(state=JobState.WAITING)], None, id="its variants are not built yet"),
        pytest.param(
            [job(id="b", created_at_ms=2), job(id="a", created_at_ms=1)], "a", id="the oldest first"
        ),
        pytest.param([job(id="b"), job(id="a")], "a", id="of the same age, one order for all"),
        pytest.param([job(id="a"), running(id="b")], None, id="one at a time"),
        pytest.param(
            [job(state=JobState.WAITING), job(id="b", created_at_ms=9)], "b", id="waiting ones don't block"
        ),
        pytest.param([lost()], "job", id="a lost one is done again"),
        pytest.param([job(attempt=MAX_ATTEMPTS, outcome=AttemptOutcome.LOST)], None, id="but not for ever"),
    ],
)
def test_claim(jobs: list[Job], expected: str | None) -> None:
    decision = leases.claim(jobs, now_ms=NOW, ttl_ms=TTL)
    assert (decision.start.id if decision.start else None) == expected


def test_a_claim_raises_the_attempt_and_sets_the_lease() -> None:
    started = leases.claim([lost(attempt=3, detail="lost")], now_ms=NOW, ttl_ms=TTL).start
    assert started == running(attempt=4, lease_expires_at_ms=NOW + TTL)


def test_a_claim_gives_up_jobs_that_had_their_attempts_and_goes_on() -> None:
    spent = lost(attempt=MAX_ATTEMPTS, detail="the board did not renew its lease in time")
    decision = leases.claim([spent, job(id="next", created_at_ms=1)], now_ms=NOW, ttl_ms=TTL)
    assert decision.start is not None
    assert decision.start.id == "next"
    (given_up,) = decision.exhausted
    assert given_up.state is JobState.FAILED
    assert given_up.detail == (
        f"given up after {MAX_ATTEMPTS} attempts; the last one: the board did not renew its lease in time"
    )


@pytest.mark.parametrize(
    ("before", "attempt", "busy", "held"),
    [
        pytest.param(running(), 1, False, True, id="runs"),
        pytest.param(running(lease_expires_at_ms=NOW - 1), 1, False, True, id="ran out, nobody noticed yet"),
        pytest.param(lost(), 1, False, True, id="ran out and is adopted"),
        pytest.param(lost(), 1, True, False, id="ran out and the board runs another now"),
        pytest.param(running(attempt=2), 1, False, False, id="another attempt has it"),
        pytest.param(running(), 2, False, False, id="an attempt that never was"),
        pytest.param(running(device_id="other"), 1, False, False, id="another board's"),
        pytest.param(
            job(attempt=1, outcome=AttemptOutcome.DEVICE_FAILED), 1, False, False, id="it gave up itself"
        ),
        pytest.param(job(state=JobState.CANCELLED, attempt=1), 1, False, False, id="cancelled"),
        pytest.param(job(state=JobState.COMPLETED, attempt=1), 1, False, False, id="done"),
        pytest.param(None, 1, False, False, id="no such job"),
    ],
)
def test_renew(before: Job | None, attempt: int, busy: bool, held: bool) -> None:
    decision = leases.renew(
        before, device_id="board", attempt=attempt, device_is_busy=busy, now_ms=NOW, ttl_ms=TTL
    )
    if held:
        assert decision.job == running()
    else:
        assert decision.job is None
        assert decision.reason


def test_a_cancelled_job_says_why_it_is_lost() -> None:
    cancelled = leases.cancel(running(), "the study was cancelled")
    decision = leases.renew(
        cancelled, device_id="board", attempt=1, device_is_busy=False, now_ms=NOW, ttl_ms=TTL
    )
    assert decision.reason == "the study was cancelled"


@pytest.mark.parametrize(
    ("before", "expires"),
    [
        pytest.param(running(lease_expires_at_ms=NOW + 1), False, id="not yet"),
        pytest.param(running(lease_expires_at_ms=NOW), True, id="now"),
        pytest.param(running(lease_expires_at_ms=0), True, id="long ago"),
        pytest.param(job(), False, id="not running"),
    ],
)
def test_expired(before: Job, expires: bool) -> None:
    after = leases.expired(before, now_ms=NOW)
    if expires:
        assert after is not None
        assert after.state is JobState.QUEUED
        assert after.outcome is AttemptOutcome.LOST
        assert after.lease_expires_at_ms is None
        assert leases.adoptable(after)
    else:
        assert after is None


@pytest.mark.parametrize(
    ("before", "attempt", "expected"),
    [
        pytest.param(running(), 1, Standing.CURRENT, id="runs"),
        pytest.param(lost(), 1, Standing.CURRENT, id="lost, and nothing happened since"),
        pytest.param(running(attempt=2), 1, Standing.FENCED, id="an earlier attempt"),
        pytest.param(lost(attempt=2), 1, Standing.FENCED, id="an earlier attempt of a queued job"),
        pytest.param(running(attempt=2), 3, Standing.FOREIGN, id="an attempt to come"),
        pytest.param(running(), 0, Standing.FOREIGN, id="attempts count from 1"),
        pytest.param(running(device_id="other"), 1, Standing.FOREIGN, id="another board's"),
        pytest.param(None, 1, Standing.FOREIGN, id="no such job"),
        pytest.param(
            job(attempt=1, outcome=AttemptOutcome.DEVICE_FAILED), 1, Standing.FENCED, id="ended itself"
        ),
        pytest.param(job(state=JobState.CANCELLED, attempt=1), 1, Standing.FENCED, id="cancelled"),
        pytest.param(job(state=JobState.COMPLETED, attempt=1), 1, Standing.FENCED, id="done"),
    ],
)
def test_standing(before: Job | None, attempt: int, expected: Standing) -> None:
    assert leases.standing(before, device_id="board", attempt=attempt) is expected


@pytest.mark.parametrize(
    ("outcome", "attempt", "expected"),
    [
        pytest.param(AttemptOutcome.COMPLETED, 1, JobState.COMPLETED, id="done"),
        pytest.param(AttemptOutcome.JOB_FAILED, 1, JobState.FAILED, id="would fail again: not tried again"),
        pytest.param(AttemptOutcome.CANCELLED, 1, JobState.CANCELLED, id="cancelled on the board"),
        pytest.param(AttemptOutcome.DEVICE_FAILED, 1, JobState.QUEUED, id="may succeed: tried again"),
        pytest.param(
            AttemptOutcome.DEVICE_FAILED, MAX_ATTEMPTS - 1, JobState.QUEUED, id="one attempt is left"
        ),
        pytest.param(AttemptOutcome.DEVICE_FAILED, MAX_ATTEMPTS, JobState.FAILED, id="none is left"),
        pytest.param(AttemptOutcome.LOST, 1, JobState.QUEUED, id="lost"),
    ],
)
def test_end(outcome: AttemptOutcome, attempt: int, expected: JobState) -> None:
    after = leases.end(running(attempt=attempt), outcome, "why")
    assert after.state is expected
    assert after.outcome is outcome
    assert after.lease_expires_at_ms is None
    assert "why" in after.detail


@pytest.mark.parametrize("state", list(JobState))
def test_cancel_ends_what_has_not_ended(state: JobState) -> None:
    after = leases.cancel(job(state=state), "by hand")
    if state in leases.ENDED:
        assert after is None
    else:
        assert after is not None
        assert after.state is JobState.CANCELLED
        assert after.detail == "by hand"


def test_cancel_ends_a_running_attempt_but_not_one_that_ended_before() -> None:
    cancelled = leases.cancel(running(), "")
    assert cancelled is not None
    assert cancelled.outcome is AttemptOutcome.CANCELLED
    cancelled = leases.cancel(lost(), "")
    assert cancelled is not None
    assert cancelled.outcome is AttemptOutcome.LOST
