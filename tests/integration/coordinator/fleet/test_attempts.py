from __future__ import annotations

import asyncio

import pytest

from edgemeter_coordinator.schedule.leases import JobState
from edgemeter_coordinator.store import jobs, results
from edgemeter_coordinator.store.jobs import StudyJob
from edgemeter_protos.v1 import fleet_pb2, lab_pb2, lab_pb2_grpc, refusal_pb2
from edgemeter_protos.v1.result_pb2 import Result
from tests.integration.coordinator.fleet.conftest import Board, Site, Stream, refusal_of
from tests.lab_rows import StudyRows, add_study, digest

ACCEPTED = fleet_pb2.REPORT_DISPOSITION_ACCEPTED
DUPLICATE = fleet_pb2.REPORT_DISPOSITION_DUPLICATE
LATE = fleet_pb2.REPORT_DISPOSITION_LATE


async def study_for(site: Site, *boards: Board, study_id: str = "study") -> StudyRows:
    return await site.database(add_study, [board.device_id for board in boards], study_id=study_id)


async def the_job(site: Site, study_id: str = "study") -> StudyJob:
    (job,) = await site.database(jobs.of_study, study_id)
    return job


async def claimed(board: Board, stream: Stream) -> fleet_pb2.Assignment:
    assignment = await board.claim(stream)
    assert assignment is not None
    return assignment


async def cancel(site: Site, study_id: str) -> None:
    stub = lab_pb2_grpc.LabStub(site.users_channel())
    await stub.CancelStudy(lab_pb2.CancelStudyRequest(study=study_id), metadata=site.user_metadata())


async def test_an_assignment_says_all_there_is_to_do(site: Site) -> None:
    board = await site.join()
    study = await study_for(site, board)
    stream = await board.attach()
    assignment = await claimed(board, stream)
    assert assignment.attempt == fleet_pb2.AttemptRef(job_id=study.job_ids[0], attempt=1)
    assert assignment.study_id == "study"
    assert assignment.lease_ttl_ms == 60_000
    assert list(assignment.variants) == list(study.manifests)
    assert assignment.evaluation.digest == study.evaluation_digest
    assert assignment.plan.blocks == 3
    assert (await the_job(site)).state is JobState.RUNNING


async def test_a_board_has_one_job_at_a_time(site: Site) -> None:
    board = await site.join()
    await study_for(site, board)
    await study_for(site, board, study_id="second")
    stream = await board.attach()
    claims = await asyncio.gather(*(board.claim(stream) for _ in range(5)))
    (assignment,) = [claim for claim in claims if claim is not None]
    assert assignment.study_id == "study"
    assert await board.end(assignment.attempt, 1) == ACCEPTED
    assert (await claimed(board, stream)).study_id == "second"


async def test_a_board_gets_only_its_own_jobs(site: Site) -> None:
    board, other = await site.join(), await site.join()
    await study_for(site, other)
    assert await board.claim(await board.attach()) is None
    assert await other.claim(await other.attach()) is not None


async def test_a_session_that_was_superseded_claims_nothing(site: Site) -> None:
    board = await site.join()
    await study_for(site, board)
    old, new = await board.attach(), await board.attach()
    assert await refusal_of(board.claim(old)) == refusal_pb2.REFUSAL_REASON_SESSION_SUPERSEDED
    assert await board.claim(new) is not None


async def test_results_are_kept_once(site: Site) -> None:
    board = await site.join()
    study = await study_for(site, board)
    attempt = (await claimed(board, await board.attach())).attempt
    first = Result(id="one", variant_id=study.variant_ids[0])
    assert await board.report(attempt, 1, first) == ACCEPTED
    assert await board.report(attempt, 1, first) == DUPLICATE
    assert await board.report(attempt, 2, Result(id="two", variant_id=study.variant_ids[1])) == ACCEPTED
    assert await board.end(attempt, 3) == ACCEPTED
    assert await board.end(attempt, 3) == DUPLICATE
    assert [row.id for row in await site.database(results.of_study, "study")] == ["one", "two"]
    assert (await the_job(site)).state is JobState.COMPLETED


async def test_an_attempt_reports_a_variant_once(site: Site) -> None:
    board = await site.join()
    study = await study_for(site, board)
    attempt = (await claimed(board, await board.attach())).attempt
    variant_id = study.variant_ids[0]
    assert await board.report(attempt, 1, Result(id="r1", variant_id=variant_id)) == ACCEPTED
    again = board.report(attempt, 2, Result(id="r2", variant_id=variant_id))
    assert await refusal_of(again) == refusal_pb2.REFUSAL_REASON_BAD_REQUEST
    assert len(await site.database(results.of_study, "study", include_late=True)) == 1


async def test_a_result_keeps_its_place(site: Site) -> None:
    board = await site.join()
    study = await study_for(site, board)
    attempt = (await claimed(board, await board.attach())).attempt
    await board.report(attempt, 1, Result(id="one", variant_id=study.variant_ids[0]))
    for sequence, result_id in ((1, "another"), (2, "one")):
        other = Result(id=result_id, variant_id=study.variant_ids[1])
        assert await refusal_of(board.report(attempt, sequence, other)) == (
            refusal_pb2.REFUSAL_REASON_BAD_REQUEST
        )
    assert [row.id for row in await site.database(results.of_study, "study")] == ["one"]


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        pytest.param(
            Result(id="r", variant_id="nothing"), refusal_pb2.REFUSAL_REASON_BAD_REQUEST, id="variant"
        ),
        pytest.param(
            Result(id="", variant_id="study-v0"), refusal_pb2.REFUSAL_REASON_BAD_REQUEST, id="no id"
        ),
        pytest.param(
            Result(id="r" * 33, variant_id="study-v0"), refusal_pb2.REFUSAL_REASON_BAD_REQUEST, id="long id"
        ),
        pytest.param(
            Result(id="r", variant_id="study-v0", samples_digest=digest("not put")),
            refusal_pb2.REFUSAL_REASON_BLOB_MISSING,
            id="samples that were not put",
        ),
        pytest.param(
            Result(id="r", variant_id="study-v0", trace_digest=digest("not put")),
            refusal_pb2.REFUSAL_REASON_BLOB_MISSING,
            id="a power trace that was not put",
        ),
        pytest.param(
            Result(id="r", variant_id="study-v0", outputs_digest="../../etc/passwd"),
            refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
            id="outputs that are no digest",
        ),
    ],
)
async def test_results_that_are_refused(site: Site, result: Result, reason: int) -> None:
    board = await site.join()
    await study_for(site, board)
    attempt = (await claimed(board, await board.attach())).attempt
    assert await refusal_of(board.report(attempt, 1, result)) == reason
    assert await site.database(results.of_study, "study", True) == []


async def test_another_boards_attempt_is_none_of_its_business(site: Site) -> None:
    board, other = await site.join(), await site.join()
    study = await study_for(site, board)
    attempt = (await claimed(board, await board.attach())).attempt
    await other.attach([attempt])
    result = Result(id="forged", variant_id=study.variant_ids[0])
    assert await refusal_of(other.report(attempt, 1, result)) == refusal_pb2.REFUSAL_REASON_ATTEMPT_FENCED
    assert await refusal_of(other.end(attempt, 1)) == refusal_pb2.REFUSAL_REASON_ATTEMPT_FENCED
    assert (await other.renew(attempt)).state == fleet_pb2.LEASE_STATE_LOST
    assert (await board.renew(attempt)).state == fleet_pb2.LEASE_STATE_HELD
    assert (await the_job(site)).state is JobState.RUNNING


async def test_an_attempt_to_come_can_t_be_reported(site: Site) -> None:
    board = await site.join()
    await study_for(site, board)
    attempt = (await claimed(board, await board.attach())).attempt
    attempt.attempt += 1
    assert await refusal_of(board.end(attempt, 1)) == refusal_pb2.REFUSAL_REASON_ATTEMPT_FENCED


async def test_what_an_old_attempt_says_is_evidence_only(site: Site) -> None:
    board = await site.join()
    study = await study_for(site, board)
    stream = await board.attach()
    old = (await claimed(board, stream)).attempt
    assert await board.end(old, 1, fleet_pb2.ATTEMPT_OUTCOME_DEVICE_FAILED) == ACCEPTED
    new = (await claimed(board, stream)).attempt
    assert new.attempt == 2
    late = Result(id="late", variant_id=study.variant_ids[0])
    assert await board.report(old, 2, late) == LATE
    assert await board.report(old, 2, late) == DUPLICATE
    assert await board.end(old, 3) == LATE
    assert (await board.renew(old)).state == fleet_pb2.LEASE_STATE_LOST
    assert (await the_job(site)).state is JobState.RUNNING
    assert await site.database(results.of_study, "study") == []
    (row,) = await site.database(results.of_study, "study", True)
    assert (row.id, row.late) == ("late", True)


async def test_a_job_that_can_t_be_done_is_not_tried_again(site: Site) -> None:
    board = await site.join()
    await study_for(site, board)
    stream = await board.attach()
    attempt = (await claimed(board, stream)).attempt
    await board.end(attempt, 1, fleet_pb2.ATTEMPT_OUTCOME_JOB_FAILED)
    job = await the_job(site)
    assert (job.state, job.detail) == (JobState.FAILED, "so it ended")
    assert await board.claim(stream) is None


async def test_a_board_that_fails_and_fails_gives_the_job_up(site: Site) -> None:
    board = await site.join()
    await study_for(site, board)
    stream = await board.attach()
    numbers = []
    while assignment := await board.claim(stream):
        numbers.append(assignment.attempt.attempt)
        await board.end(assignment.attempt, 1, fleet_pb2.ATTEMPT_OUTCOME_DEVICE_FAILED)
    assert numbers == [1, 2, 3, 4, 5]
    job = await the_job(site)
    assert (job.state, job.detail) == (
        JobState.FAILED,
        "given up after 5 attempts; the last one: so it ended",
    )


async def test_a_study_without_a_variant_ends(site: Site) -> None:
    board = await site.join()
    await site.database(add_study, [board.device_id], states=("failed",))
    assert await board.claim(await board.attach()) is None
    job = await the_job(site)
    assert (job.state, job.detail) == (JobState.FAILED, "none of the study's variants could be built")


async def test_a_cancelled_board_is_told(site: Site) -> None:
    board = await site.join()
    await study_for(site, board)
    stream = await board.attach()
    attempt = (await claimed(board, stream)).attempt
    await cancel(site, "study")
    message = await stream.read("cancel")
    assert message is not None
    assert message.cancel.attempt == attempt
    renewed = await board.renew(attempt)
    assert renewed.state == fleet_pb2.LEASE_STATE_LOST
    assert "cancelled" in renewed.reason
    assert await board.end(attempt, 1, fleet_pb2.ATTEMPT_OUTCOME_CANCELLED) == DUPLICATE


async def lose(site: Site, board: Board, stream: Stream) -> None:
    """The lease runs out: the board hears of its job as of one to claim."""
    while (await the_job(site)).state is JobState.RUNNING:
        assert await stream.read("nudge") is not None
    assert (await the_job(site)).state is JobState.QUEUED


@pytest.fixture
async def brief(site: Site) -> Site:
    """A site whose leases are short."""
    await site.coordinator.stop()
    await site.start(lease_ttl_s=0.4)
    return site


async def test_an_agent_that_disappears_loses_its_job(brief: Site) -> None:
    board = await brief.join()
    study = await study_for(brief, board)
    stream = await board.attach()
    first = (await claimed(board, stream)).attempt
    await lose(brief, board, stream)
    second = (await claimed(board, stream)).attempt
    assert (second.job_id, second.attempt) == (first.job_id, 2)
    late = Result(id="late", variant_id=study.variant_ids[0])
    assert await board.report(first, 1, late) == LATE


async def test_a_lost_attempt_is_taken_up_again_by_renewing(brief: Site) -> None:
    board = await brief.join()
    await study_for(brief, board)
    stream = await board.attach()
    attempt = (await claimed(board, stream)).attempt
    await lose(brief, board, stream)
    assert (await board.renew(attempt)).state == fleet_pb2.LEASE_STATE_HELD
    assert await board.end(attempt, 1) == ACCEPTED
    job = await the_job(brief)
    assert (job.state, job.attempt) == (JobState.COMPLETED, 1)


async def test_a_lost_attempt_counts_by_reporting(brief: Site) -> None:
    board = await brief.join()
    study = await study_for(brief, board)
    stream = await board.attach()
    attempt = (await claimed(board, stream)).attempt
    await lose(brief, board, stream)
    assert await board.report(attempt, 1, Result(id="one", variant_id=study.variant_ids[0])) == ACCEPTED
    assert await board.end(attempt, 2) == ACCEPTED
    assert [row.late for row in await brief.database(results.of_study, "study")] == [False]


async def test_renewing_keeps_a_lease(brief: Site) -> None:
    board = await brief.join()
    await study_for(brief, board)
    attempt = (await claimed(board, await board.attach())).attempt
    for _ in range(10):
        await asyncio.sleep(0.1)
        assert (await board.renew(attempt)).state == fleet_pb2.LEASE_STATE_HELD
    assert (await the_job(brief)).attempt == 1
