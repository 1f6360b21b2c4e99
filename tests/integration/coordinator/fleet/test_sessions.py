from __future__ import annotations

import asyncio

import pytest

from edgemeter_coordinator.schedule.leases import JobState
from edgemeter_coordinator.store import devices, jobs
from edgemeter_protos import PROTOCOL_VERSION
from edgemeter_protos.v1 import fleet_pb2, lab_pb2, lab_pb2_grpc, refusal_pb2
from edgemeter_protos.v1.device_pb2 import DeviceFacts
from tests.integration.coordinator.fleet.conftest import Board, Site, Stream, refusal_of
from tests.lab_rows import add_study


async def is_attached(site: Site, board: Board) -> bool:
    device = await site.database(devices.get, board.device_id)
    assert device is not None
    return device.attached


async def detached(site: Site, board: Board) -> None:
    while await is_attached(site, board):  # noqa: ASYNC110 - in the database, where nothing wakes us
        await asyncio.sleep(0.01)


async def goodbye(stream: Stream) -> fleet_pb2.Goodbye:
    message = await stream.read("goodbye")
    assert message is not None
    assert await stream.read() is None, "a goodbye is the last word"
    return message.goodbye


async def test_a_welcome_says_how_to_go_on(site: Site) -> None:
    stream = await (await site.join()).attach()
    assert stream.welcome.protocol_version == PROTOCOL_VERSION
    assert stream.welcome.epoch == 1
    assert stream.welcome.heartbeat_interval_ms == 5000
    assert stream.welcome.coordinator_version


async def test_heartbeats_are_answered(site: Site) -> None:
    stream = await (await site.join()).attach()
    for sequence in (1, 2, 3):
        await stream.write(heartbeat=fleet_pb2.Heartbeat(sequence=sequence))
        message = await stream.read("heartbeat_ack")
        assert message is not None
        assert message.heartbeat_ack.sequence == sequence


async def test_facts_are_those_of_the_newest_hello(site: Site) -> None:
    board = await site.join("pi")
    await board.attach()
    device = await site.database(devices.get, board.device_id)
    assert device is not None
    assert device.facts.hostname == "pi"


async def test_the_newest_session_wins(site: Site) -> None:
    board = await site.join()
    old = await board.attach()
    new = await board.attach()
    assert new.welcome.epoch == old.welcome.epoch + 1
    assert (await goodbye(old)).reason == fleet_pb2.GOODBYE_REASON_SUPERSEDED
    await new.write(heartbeat=fleet_pb2.Heartbeat(sequence=1))
    assert await new.read("heartbeat_ack") is not None
    # The end of the old stream is not the end of the board.
    assert await is_attached(site, board)


async def test_a_board_that_hangs_up_is_not_attached(site: Site) -> None:
    board = await site.join()
    stream = await board.attach()
    assert await is_attached(site, board)
    stream.call.cancel()
    await detached(site, board)


async def test_a_silent_board_is_let_go(site: Site) -> None:
    await site.coordinator.stop()
    await site.start(heartbeat_interval_s=0.1)
    board = await site.join()
    stream = await board.attach()
    assert (await goodbye(stream)).reason == fleet_pb2.GOODBYE_REASON_SILENT
    await detached(site, board)


async def test_an_agent_of_another_protocol(site: Site) -> None:
    board = await site.join()
    stream = Stream(board.fleet.Attach())
    await stream.write(hello=fleet_pb2.Hello(protocol_version=PROTOCOL_VERSION + 1))
    farewell = await goodbye(stream)
    assert farewell.reason == fleet_pb2.GOODBYE_REASON_PROTOCOL_MISMATCH
    assert "upgrade the coordinator" in farewell.detail


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        pytest.param(
            {"heartbeat": fleet_pb2.Heartbeat(sequence=1)},
            refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
            id="no hello",
        ),
        pytest.param({}, refusal_pb2.REFUSAL_REASON_BAD_REQUEST, id="nothing in it"),
        pytest.param(
            {"hello": fleet_pb2.Hello(protocol_version=1, facts=DeviceFacts(board="x" * 100_000))},
            refusal_pb2.REFUSAL_REASON_TOO_LARGE,
            id="facts without end",
        ),
        pytest.param(
            {"hello": fleet_pb2.Hello(protocol_version=1, held=[fleet_pb2.AttemptRef(job_id="a")] * 1000)},
            refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
            id="holds everything",
        ),
    ],
)
async def test_how_not_to_begin(site: Site, first: dict[str, object], reason: int) -> None:
    stream = Stream((await site.join()).fleet.Attach())
    await stream.write(**first)
    assert await refusal_of(stream.read()) == reason


async def test_a_board_is_nudged_when_a_job_ends(site: Site) -> None:
    board = await site.join()
    await site.database(add_study, [board.device_id])
    stream = await board.attach()
    assert await stream.read("nudge") is not None
    assignment = await board.claim(stream)
    assert assignment is not None
    await board.end(assignment.attempt, 1)
    assert await stream.read("nudge") is not None


async def test_what_a_board_holds_is_kept_or_cancelled(site: Site) -> None:
    board = await site.join()
    await site.database(add_study, [board.device_id])
    assignment = await board.claim(await board.attach())
    assert assignment is not None
    stranger = fleet_pb2.AttemptRef(job_id="of another coordinator", attempt=1)
    stream = await board.attach([assignment.attempt, stranger])
    assert list(stream.welcome.keep) == [assignment.attempt]
    assert list(stream.welcome.cancel) == [stranger]


async def test_a_job_that_its_board_forgot_is_queued_again(site: Site) -> None:
    board = await site.join()
    study = await site.database(add_study, [board.device_id])
    assert await board.claim(await board.attach()) is not None
    stream = await board.attach()
    (job,) = await site.database(jobs.of_study, study.study_id)
    assert (job.state, job.attempt) == (JobState.QUEUED, 1)
    assignment = await board.claim(stream)
    assert assignment is not None
    assert assignment.attempt.attempt == 2


async def test_progress_is_shown_of_the_boards_own_attempt_only(site: Site) -> None:
    board, other = await site.join(), await site.join()
    study = await site.database(add_study, [board.device_id])
    stream, others = await board.attach(), await other.attach()
    assignment = await board.claim(stream)
    assert assignment is not None
    lab = lab_pb2_grpc.LabStub(site.users_channel())

    async def shown() -> tuple[float, str]:
        request = lab_pb2.GetStudyRequest(study=study.study_id)
        response = await lab.GetStudy(request, metadata=site.user_metadata())
        (job,) = response.study.jobs
        return job.fraction, job.phase

    async def say(by: Stream, fraction: float, phase: str) -> None:
        progress = fleet_pb2.Progress(attempt=assignment.attempt, fraction=fraction, phase=phase)
        await by.write(progress=progress)
        # Messages of a stream are taken in order: once this is answered, progress was noted.
        await by.write(heartbeat=fleet_pb2.Heartbeat())
        assert await by.read("heartbeat_ack") is not None

    await say(stream, 0.5, "block 3 of 6")
    assert await shown() == (0.5, "block 3 of 6")
    await say(others, 0.9, "forged")
    assert await shown() == (0.5, "block 3 of 6")
    await say(stream, 7.0, "x" * 1000)
    assert await shown() == (1.0, "x" * 200)
