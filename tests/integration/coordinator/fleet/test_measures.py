"""All that a board can measure, from its report to what a user reads; and the meters that it is lent."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edgemeter_coordinator.report import export
from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_coordinator.sdk.lab import Lab
from edgemeter_coordinator.sdk.settings import Settings
from edgemeter_coordinator.store import meters
from edgemeter_protos.v1 import fleet_pb2, lab_pb2, lab_pb2_grpc, refusal_pb2
from edgemeter_protos.v1.result_pb2 import Result
from tests.integration.coordinator.fleet.conftest import Board, Site, refusal_of
from tests.lab_rows import add_study
from tests.unit.coordinator.report.measured import measured

SAMPLES, TRACE = b"every timed sample", b"every power reading"


def lab_of(site: Site) -> Lab:
    """The SDK, as the coordinator's owner uses it. Its calls block: from threads only."""
    return Lab(
        Settings(
            address=f"127.0.0.1:{site.coordinator.port}",
            token=site.owner_token,
            ca_pem=site.coordinator.ca_pem,
        )
    )


async def ask(site: Site, method: str, request: Any) -> Any:
    stub = lab_pb2_grpc.LabStub(site.users_channel())
    return await getattr(stub, method)(request, metadata=site.user_metadata())


async def claimed(site: Site, board: Board, study_id: str = "study") -> fleet_pb2.Assignment:
    await site.database(add_study, [board.device_id], study_id=study_id)
    assignment = await board.claim(await board.attach())
    assert assignment is not None
    return assignment


async def reported(site: Site) -> tuple[Board, Result]:
    """A board that has measured everything of one variant."""
    board = await site.join("orin")
    assignment = await claimed(site, board)
    result = Result()
    result.CopyFrom(measured().result)
    result.id, result.variant_id = "one", assignment.variants[0].variant_id
    result.samples_digest, result.trace_digest = digest_of(SAMPLES), digest_of(TRACE)
    for content in (SAMPLES, TRACE):
        await board.blobs.put(digest_of(content), content)
    assert await board.report(assignment.attempt, 1, result) == fleet_pb2.REPORT_DISPOSITION_ACCEPTED
    await board.end(assignment.attempt, 2)
    return board, result


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def test_what_a_board_measured_is_what_a_user_reads(site: Site, tmp_path: Path) -> None:
    _, result = await reported(site)

    def read() -> tuple[list[dict[str, Any]], list[Path]]:
        with lab_of(site) as lab:
            study = lab.study("study")
            return study.results(), study.download_raw(tmp_path / "raw")

    (row,), files = await asyncio.to_thread(read)
    jsonschema.validate([row], export.schema())
    (expected,) = export.exported([measured()])
    for key in ("plan", "latency", "throughput", "serving", "energy", "memory", "operators", "sustained"):
        assert row[key] == expected[key], key
    assert row["raw"]["trace_digest"] == result.trace_digest
    assert {path.read_bytes() for path in files} == {SAMPLES, TRACE}
    assert sorted(path.name.rpartition("_")[2] for path in files) == ["samples.npz", "trace.npz"]


async def test_raw_data_that_is_gone_leaves_no_half_file(site: Site, tmp_path: Path) -> None:
    await reported(site)
    name = digest_of(TRACE)
    (site.state_dir / "blobs" / name[:2] / name).unlink()

    def read() -> None:
        with lab_of(site) as lab:
            lab.study("study").download_raw(tmp_path / "raw")

    with pytest.raises(EdgemeterError, match=name[:12]):
        await asyncio.to_thread(read)
    assert [path.name for path in (tmp_path / "raw").iterdir() if "trace" in path.name] == []


async def test_a_board_reads_no_power_trace_of_another(site: Site) -> None:
    await reported(site)
    other = await site.join("pi")
    await claimed(site, other, "second")
    not_allowed = refusal_pb2.REFUSAL_REASON_NOT_ALLOWED
    assert await refusal_of(other.blobs.fetch(digest_of(TRACE))) == not_allowed


async def test_a_board_is_given_the_meters_that_were_attached(site: Site) -> None:
    board, other = await site.join("orin"), await site.join("pi")
    spec = "remote:10.0.0.9:7450?token=hush"
    attached = await ask(site, "AttachMeter", lab_pb2.AttachMeterRequest(device="orin", spec=spec))
    assert [each.spec for each in attached.device.meters] == ["remote:10.0.0.9:7450?token=***"]
    assert attached.device.meters[0].attached_by
    await ask(site, "AttachMeter", lab_pb2.AttachMeterRequest(device="orin", spec="shelly:10.0.0.7"))
    listed = await ask(site, "ListDevices", lab_pb2.ListDevicesRequest())
    assert {device.name: len(device.meters) for device in listed.devices} == {"orin": 2, "pi": 0}
    # The board itself is told everything.
    assert list((await claimed(site, board)).meters) == [spec, "shelly:10.0.0.7"]
    assert list((await claimed(site, other, "second")).meters) == []


async def test_a_detached_meter_is_no_more_in_the_next_assignment(site: Site) -> None:
    board = await site.join("orin")
    request = {"device": board.device_id, "spec": "shelly:10.0.0.7"}
    await ask(site, "AttachMeter", lab_pb2.AttachMeterRequest(**request))
    detached = await ask(site, "DetachMeter", lab_pb2.DetachMeterRequest(**request))
    assert not detached.device.meters
    assert list((await claimed(site, board)).meters) == []


@pytest.mark.parametrize(
    ("method", "request_", "reason"),
    [
        (
            "AttachMeter",
            lab_pb2.AttachMeterRequest(device="nobody", spec="shelly:x"),
            refusal_pb2.REFUSAL_REASON_NO_DEVICE_MATCHES,
        ),
        (
            "AttachMeter",
            lab_pb2.AttachMeterRequest(device="orin", spec="voltmeter:x"),
            refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
        ),
        (
            "DetachMeter",
            lab_pb2.DetachMeterRequest(device="orin", spec="shelly:x"),
            refusal_pb2.REFUSAL_REASON_NOT_FOUND,
        ),
    ],
)
async def test_meters_that_are_refused(site: Site, method: str, request_: Any, reason: int) -> None:
    await site.join("orin")
    assert await refusal_of(ask(site, method, request_)) == reason
    assert await site.database(meters.of_devices) == {}
