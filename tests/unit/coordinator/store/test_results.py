from __future__ import annotations

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from edgemeter_coordinator.schedule.leases import AttemptOutcome
from edgemeter_coordinator.schedule.reconcile import Held
from edgemeter_coordinator.service import attempts
from edgemeter_coordinator.store import devices, results
from edgemeter_protos.v1.device_pb2 import DeviceFacts
from edgemeter_protos.v1.result_pb2 import Result
from edgemeter_protos.v1.variant_pb2 import Quality
from tests.lab_rows import StudyRows, add_device, add_study

TTL = 60_000


@pytest.fixture
def study(connection: Connection) -> StudyRows:
    add_device(connection, "ada")
    study = add_study(connection, ["ada"])
    devices.begin_session(connection, "ada", DeviceFacts())
    return study


def claim(connection: Connection) -> Held:
    job = attempts.claim(connection, "ada", 1, TTL).job
    assert job is not None
    return Held(job_id=job.id, attempt=job.attempt)


def report(connection: Connection, attempt: Held, sequence: int, variant_id: str) -> str:
    result_id = f"{attempt.job_id}-{attempt.attempt}-{sequence}"
    result = Result(id=result_id, variant_id=variant_id)
    attempts.report_result(connection, "ada", attempt, sequence, result, TTL)
    return result_id


def test_a_studys_results_are_those_of_the_newest_attempt(connection: Connection, study: StudyRows) -> None:
    first = claim(connection)
    early = report(connection, first, 1, study.variant_ids[0])
    assert [row.id for row in results.of_study(connection, "study")] == [early]
    attempts.report_end(connection, "ada", first, AttemptOutcome.DEVICE_FAILED, "power")
    second = claim(connection)
    # In another order than the study's.
    later = report(connection, second, 1, study.variant_ids[1])
    latest = report(connection, second, 2, study.variant_ids[0])
    late = report(connection, first, 2, study.variant_ids[1])
    assert [row.id for row in results.of_study(connection, "study")] == [latest, later]
    everything = results.of_study(connection, "study", include_late=True)
    assert {row.id: row.late for row in everything} == {early: True, late: True, latest: False, later: False}


def test_reports_of_a_cancelled_job_are_late(connection: Connection, study: StudyRows) -> None:
    attempt = claim(connection)
    before = report(connection, attempt, 1, study.variant_ids[0])
    attempts.report_end(connection, "ada", attempt, AttemptOutcome.CANCELLED, "")
    after = report(connection, attempt, 2, study.variant_ids[1])
    assert [row.id for row in results.of_study(connection, "study")] == [before]
    everything = results.of_study(connection, "study", include_late=True)
    assert {row.id: row.late for row in everything} == {before: False, after: True}


def test_a_place_in_an_attempt_is_taken_once(connection: Connection, study: StudyRows) -> None:
    attempt = claim(connection)
    report(connection, attempt, 1, study.variant_ids[0])
    twin = Result(id="twin", variant_id=study.variant_ids[1])
    with pytest.raises(IntegrityError), connection.begin_nested():
        results.insert(connection, job_id=attempt.job_id, attempt=1, sequence=1, late=False, result=twin)


def test_scores(connection: Connection, study: StudyRows) -> None:
    first = report(connection, claim(connection), 1, study.variant_ids[0])
    assert results.unscored(connection) == [first]
    results.set_quality(connection, first, Quality(metric="top1", value=0.5))
    assert results.unscored(connection) == []
    row = results.get(connection, first)
    assert row is not None
    assert row.device_quality == Quality(metric="top1", value=0.5)
    assert (row.study_id, row.device_id, row.late) == ("study", "ada", False)
    assert results.get(connection, "nothing") is None
