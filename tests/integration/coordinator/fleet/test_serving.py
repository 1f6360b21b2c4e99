from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from sqlalchemy import text

from edgemeter_coordinator.service.access import FLEET_PORT, USERS_PORT
from edgemeter_coordinator.service.listening import ServeError
from edgemeter_coordinator.service.server import Coordinator, ServeOptions
from edgemeter_coordinator.store import jobs, results
from edgemeter_protos.v1 import fleet_pb2, lab_pb2, lab_pb2_grpc
from edgemeter_protos.v1.result_pb2 import Result
from tests.integration.coordinator.fleet.conftest import Site
from tests.lab_rows import add_study


async def why_not(**options: object) -> str:
    with pytest.raises(ServeError) as failed:
        await Coordinator.start(ServeOptions(**{"host": "127.0.0.1", **options}))  # type: ignore[arg-type]
    message = str(failed.value)
    assert "\n" not in message
    return message


async def test_two_coordinators_on_one_state_directory(site: Site) -> None:
    message = await why_not(state_dir=site.state_dir, port=0, fleet_port=0)
    assert "in use by another coordinator" in message
    assert str(os.getpid()) in message


@pytest.mark.parametrize("which", ["port", "fleet_port"])
async def test_a_port_in_use(site: Site, tmp_path: Path, which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        ports = {"port": 0, "fleet_port": 0, which: number}
        message = await why_not(state_dir=tmp_path / "other", **ports)
    assert f"port {number} (address already in use)" in message
    # Nothing of the failed start is left in the way of the next.
    other = Site(tmp_path / "other", AsyncExitStack())
    await other.start()
    await other.coordinator.stop()


async def test_another_coordinators_port(site: Site, tmp_path: Path) -> None:
    message = await why_not(state_dir=tmp_path / "other", port=site.coordinator.port, fleet_port=0)
    assert "address already in use" in message


async def test_an_address_that_is_not_ours(tmp_path: Path) -> None:
    assert "can't listen on 203.0.113.1" in await why_not(
        state_dir=tmp_path, host="203.0.113.1", port=0, fleet_port=0
    )


async def test_a_state_directory_that_can_t_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    message = await why_not(state_dir=tmp_path / "file" / "state", port=0, fleet_port=0)
    assert "can't be used" in message


async def test_a_database_of_a_newer_edgemeter(site: Site) -> None:
    await site.coordinator.stop()
    newer = text("UPDATE alembic_version SET version_num = '9999'")
    await site.database(lambda connection: connection.execute(newer))
    message = await why_not(state_dir=site.state_dir, port=0, fleet_port=0)
    assert "newer edgemeter (schema 9999)" in message


async def test_the_owners_token_is_made_once_and_lasts(site: Site) -> None:
    first = site.coordinator.owner_token
    assert first is not None
    fingerprint = site.coordinator.ca_fingerprint
    await site.coordinator.stop()
    await site.coordinator.wait()
    await site.start()
    assert site.coordinator.owner_token == first
    assert site.coordinator.ca_fingerprint == fingerprint
    lab = lab_pb2_grpc.LabStub(site.users_channel())
    response = await lab.GetCoordinator(lab_pb2.GetCoordinatorRequest(), metadata=site.user_metadata())
    assert response.ca_fingerprint == fingerprint


async def test_a_first_start_that_was_cut_before_the_token_was_stored_locks_nobody_out(site: Site) -> None:
    first = site.coordinator.owner_token
    await site.coordinator.stop()
    # The token's file is written before its hash.
    await site.database(lambda connection: connection.execute(text("DELETE FROM tokens")))
    await site.start()
    assert site.coordinator.owner_token == first
    lab = lab_pb2_grpc.LabStub(site.users_channel())
    await lab.GetCoordinator(lab_pb2.GetCoordinatorRequest(), metadata=site.user_metadata())


async def test_an_owners_token_that_was_taken_away_is_not_made_again(site: Site) -> None:
    await site.coordinator.stop()
    (site.state_dir / "owner-token").unlink()
    await site.start()
    assert site.coordinator.owner_token is None
    assert not (site.state_dir / "owner-token").exists()


async def test_a_state_directory_that_no_coordinator_wrote(tmp_path: Path) -> None:
    (tmp_path / "edgemeter.db").write_text("this is no database at all, of no version")
    message = await why_not(state_dir=tmp_path, port=0, fleet_port=0)
    assert "not a database" in message
    assert "\n" not in message


async def test_a_damaged_key(site: Site) -> None:
    await site.coordinator.stop()
    (site.state_dir / "tls" / "ca.key").write_text("nothing")
    assert "can't be used" in await why_not(state_dir=site.state_dir, port=0, fleet_port=0)


async def test_a_full_disk_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    message = await why_not(state_dir=tmp_path, port=0, fleet_port=0)
    assert "No space left on device" in message


async def test_boards_hear_that_the_coordinator_stops(site: Site) -> None:
    stream = await (await site.join()).attach()
    stopping = asyncio.create_task(site.coordinator.stop())
    message = await stream.read("goodbye")
    assert message is not None
    assert message.goodbye.reason == fleet_pb2.GOODBYE_REASON_SHUTTING_DOWN
    await stopping


def rpcs() -> list[str]:
    services = [
        (module, service)
        for module in ("enrolment", "lab", "fleet", "blobs")
        for service in __import__(
            f"edgemeter_protos.v1.{module}_pb2", fromlist=["DESCRIPTOR"]
        ).DESCRIPTOR.services_by_name.values()
    ]
    return [f"/{service.full_name}/{method.name}" for _, service in services for method in service.methods]


@pytest.mark.parametrize("method", rpcs())
def test_every_rpc_has_its_rule(method: str) -> None:
    assert method in USERS_PORT or method in FLEET_PORT


@pytest.mark.parametrize("method", [method for method in rpcs() if "Lab" in method or "Blobs" in method])
async def test_nobody_calls_anything_without_a_token(site: Site, method: str) -> None:
    call: Any = site.users_channel().unary_unary(method)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call(b"")
    assert failed.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("method", ["/edgemeter.v1.Fleet/Claim", "/edgemeter.v1.Lab/Nothing", "/x/y"])
async def test_the_users_port_has_no_more_than_it_should(site: Site, method: str) -> None:
    call: Any = site.users_channel().unary_unary(method)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call(b"", metadata=site.user_metadata())
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_boards_certificate_opens_no_lab(site: Site) -> None:
    board = await site.join()
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await lab_pb2_grpc.LabStub(board.channel).ListDevices(lab_pb2.ListDevicesRequest())
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_message_that_is_too_long(site: Site) -> None:
    board = await site.join()
    result = Result(id="r", variant_id="v" * 5 * 2**20)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await board.report(fleet_pb2.AttemptRef(job_id="j", attempt=1), 1, result)
    assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


SERVE = """
import asyncio, sys
from pathlib import Path
from edgemeter_coordinator.service.server import Coordinator, ServeOptions

async def main():
    coordinator = await Coordinator.start(
        ServeOptions(state_dir=Path(sys.argv[1]), host="127.0.0.1", port=0, fleet_port=int(sys.argv[2]))
    )
    print(coordinator.port, coordinator.fleet_port, flush=True)
    await coordinator.wait()

asyncio.run(main())
"""


def serve(state_dir: Path, fleet_port: int) -> tuple[subprocess.Popen[str], int, int]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, state_dir, str(fleet_port)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    port, fleet = process.stdout.readline().split()
    return process, int(port), int(fleet)


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


async def test_a_killed_coordinator_loses_and_doubles_nothing(site: Site) -> None:
    """The board's certificate, its attempt, and what was acknowledged outlive the process."""
    await site.coordinator.stop()
    process, site.coordinator.port, site.coordinator.fleet_port = serve(site.state_dir, 0)
    try:
        board = await site.join()
        study = await site.database(add_study, [board.device_id])
        assignment = await board.claim(await board.attach())
        assert assignment is not None
        attempt = assignment.attempt
        first, second = (Result(id=f"r{i}", variant_id=study.variant_ids[i]) for i in range(2))
        assert await board.report(attempt, 1, first) == fleet_pb2.REPORT_DISPOSITION_ACCEPTED
    finally:
        kill(process)
    process, _, _ = serve(site.state_dir, site.coordinator.fleet_port)
    try:
        await board.channel.channel_ready()
        stream = await board.attach([attempt])
        assert list(stream.welcome.keep) == [attempt]
        assert stream.welcome.epoch == 2
        assert await board.claim(stream) is None
        # The board never saw the answer to its first report, so it says it again.
        assert await board.report(attempt, 1, first) == fleet_pb2.REPORT_DISPOSITION_DUPLICATE
        assert await board.report(attempt, 2, second) == fleet_pb2.REPORT_DISPOSITION_ACCEPTED
        assert await board.end(attempt, 3) == fleet_pb2.REPORT_DISPOSITION_ACCEPTED
    finally:
        kill(process)
    assert [row.id for row in await site.database(results.of_study, "study")] == ["r0", "r1"]
    (job,) = await site.database(jobs.of_study, "study")
    assert (job.state, job.attempt) == ("completed", 1)
