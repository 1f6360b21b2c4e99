from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from edgemeter_coordinator.schedule import leases
from edgemeter_coordinator.schedule.leases import AttemptOutcome, Job, JobState
from edgemeter_coordinator.store import jobs
from edgemeter_coordinator.store.database import now_ms
from edgemeter_coordinator.store.schema import attempts
from edgemeter_protos.v1.fleet_pb2 import AttemptRef
from tests.lab_rows import EVALUATION_SAMPLES, add_device, add_study


@pytest.fixture(autouse=True)
def boards(connection: Connection) -> None:
    add_device(connection, "ada")
    add_device(connection, "bell")


def start(connection: Connection, device_id: str) -> Job:
    decision = leases.claim(jobs.unended(connection, device_id), now_ms=now_ms(connection), ttl_ms=60_000)
    assert decision.start is not None
    before = jobs.get(connection, decision.start.id)
    assert before is not None
    assert jobs.save(connection, before, decision.start)
    return decision.start


def stored(connection: Connection, job_id: str) -> Job:
    job = jobs.get(connection, job_id)
    assert job is not None
    return job


def test_what_is_saved_is_what_is_read(connection: Connection) -> None:
    study = add_study(connection, ["ada"])
    running = start(connection, "ada")
    assert stored(connection, study.job_ids[0]) == running
    ended = leases.end(running, AttemptOutcome.JOB_FAILED, "no such operator")
    assert jobs.save(connection, running, ended)
    assert stored(connection, running.id) == ended
    (row,) = connection.execute(select(attempts)).all()
    assert (row.number, row.device_id, row.outcome, row.detail) == (
        1,
        "ada",
        "job_failed",
        "no such operator",
    )
    assert row.ended_at_ms is not None


def test_an_adopted_attempt_runs_again(connection: Connection) -> None:
    add_study(connection, ["ada"])
    running = start(connection, "ada")
    lost = leases.lose(running, "gone")
    jobs.save(connection, running, lost)
    assert stored(connection, running.id).outcome is AttemptOutcome.LOST
    jobs.save(connection, lost, leases.hold(lost, now_ms=0, ttl_ms=1))
    (row,) = connection.execute(select(attempts)).all()
    assert (row.outcome, row.ended_at_ms) == (None, None)


@pytest.mark.parametrize(
    "stale",
    [
        pytest.param({"attempt": 0}, id="of an earlier attempt"),
        pytest.param({"device_id": "bell"}, id="of another board"),
        pytest.param({"state": JobState.QUEUED}, id="of another state"),
    ],
)
def test_a_stale_decision_changes_nothing(connection: Connection, stale: dict[str, Any]) -> None:
    add_study(connection, ["ada"])
    running = start(connection, "ada")
    before = replace(running, **stale)
    assert not jobs.save(connection, before, leases.end(before, AttemptOutcome.COMPLETED, ""))
    assert stored(connection, running.id) == running


def test_a_board_runs_one_job_whatever_the_code_believes(connection: Connection) -> None:
    add_study(connection, ["ada"])
    add_study(connection, ["ada"], study_id="second")
    start(connection, "ada")
    (waiting,) = [job for job in jobs.unended(connection, "ada") if job.state is JobState.QUEUED]
    believed = leases.claim([waiting], now_ms=0, ttl_ms=1).start
    assert believed is not None
    with pytest.raises(IntegrityError, match=r"jobs\.device_id"), connection.begin_nested():
        jobs.save(connection, waiting, believed)
    assert jobs.is_busy(connection, "ada", but_for=waiting.id)
    assert not jobs.is_busy(connection, "bell", but_for="")


def test_waiting_jobs_are_released_when_their_variants_are_built(connection: Connection) -> None:
    study = add_study(connection, ["ada", "bell"], job_state=JobState.WAITING)
    assert sorted(jobs.release(connection, study.study_id)) == ["ada", "bell"]
    assert jobs.release(connection, study.study_id) == []
    assert {job.state for job in jobs.of_study(connection, study.study_id)} == {JobState.QUEUED}


def test_waiting_jobs_fail_when_nothing_could_be_built(connection: Connection) -> None:
    study = add_study(connection, ["ada"], job_state=JobState.WAITING)
    assert jobs.fail_waiting(connection, study.study_id, "no variant") == study.job_ids
    (job,) = jobs.of_study(connection, study.study_id)
    assert (job.state, job.detail, job.device_name) == (JobState.FAILED, "no variant", "ada")
    assert job.ended_at_ms is not None


def test_a_cancelled_study_names_the_boards_to_tell(connection: Connection) -> None:
    study = add_study(connection, ["ada", "bell"])
    running = start(connection, "ada")
    assert jobs.running(connection) == {"ada": running.id}
    told = jobs.cancel_study(connection, study.study_id)
    assert told == [("ada", AttemptRef(job_id=running.id, attempt=1))]
    assert {job.state for job in jobs.of_study(connection, study.study_id)} == {JobState.CANCELLED}
    assert jobs.cancel_study(connection, study.study_id) == []
    assert jobs.outcome(connection, running.id, 1) is AttemptOutcome.CANCELLED


def test_leases_that_ran_out(connection: Connection) -> None:
    add_study(connection, ["ada"])
    running = start(connection, "ada")
    assert running.lease_expires_at_ms is not None
    assert jobs.lapsed(connection, running.lease_expires_at_ms - 1) == []
    assert jobs.lapsed(connection, running.lease_expires_at_ms) == [running]
    jobs.extend_leases(connection, 3_600_000)
    assert jobs.lapsed(connection, running.lease_expires_at_ms) == []


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        pytest.param(("ready", "ready"), [0, 1], id="all are ready"),
        pytest.param(("ready", "failed"), [0], id="one failed"),
        pytest.param(("failed", "ready", "ready"), [1, 2], id="without the baseline the next one leads"),
        pytest.param(("failed",), [], id="none is ready"),
    ],
)
def test_work_is_what_could_be_built(
    connection: Connection, states: tuple[str, ...], expected: list[int]
) -> None:
    study = add_study(connection, ["ada"], states=states)
    work = jobs.work(connection, study.study_id)
    assert [manifest.variant_id for manifest in work.variants] == [study.variant_ids[i] for i in expected]
    assert work.plan.blocks == 3
    assert work.evaluation is not None
    assert work.evaluation.samples == EVALUATION_SAMPLES
    assert work.evaluation.digest == study.evaluation_digest


def test_a_lease_opens_the_blobs_of_its_job_and_no_others(connection: Connection) -> None:
    study = add_study(connection, ["ada"], states=("ready", "failed"))
    other = add_study(connection, ["bell"], study_id="other")
    assert jobs.leased_blobs(connection, "ada") == frozenset()
    running = start(connection, "ada")
    (manifest,) = study.manifests[:1]
    artifact = {manifest.artifact_digest, manifest.compressed_digest}
    needed = {*artifact, manifest.golden.digest, study.evaluation_digest}
    assert jobs.leased_blobs(connection, "ada") == needed
    assert other.manifests[0].artifact_digest not in needed
    jobs.save(connection, running, leases.lose(running, "gone"))
    assert jobs.leased_blobs(connection, "ada") == frozenset()


@pytest.mark.parametrize(
    ("outcome", "may"),
    [
        pytest.param(None, True, id="it runs"),
        pytest.param(AttemptOutcome.LOST, True, id="it may have measured on"),
        pytest.param(AttemptOutcome.CANCELLED, True, id="its reports are on their way"),
        pytest.param(AttemptOutcome.COMPLETED, False, id="all was reported"),
        pytest.param(AttemptOutcome.DEVICE_FAILED, False, id="it gave up"),
    ],
)
def test_who_may_have_reports(connection: Connection, outcome: AttemptOutcome | None, may: bool) -> None:
    add_study(connection, ["ada"])
    assert not jobs.may_report(connection, "ada")
    running = start(connection, "ada")
    if outcome is not None:
        jobs.save(connection, running, leases.end(running, outcome, ""))
    assert jobs.may_report(connection, "ada") is may
    assert not jobs.may_report(connection, "bell")
