from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from edgemeter_coordinator.blobs import BlobStore
from edgemeter_coordinator.refusal import Refused
from edgemeter_protos import frames
from edgemeter_protos.v1 import blobs_pb2, blobs_pb2_grpc, fleet_pb2, refusal_pb2
from tests.integration.coordinator.fleet.conftest import Board, Site, refusal_of
from tests.lab_rows import add_study, digest

CONTENT = os.urandom(5 * 2**20 + 12_345)
DIGEST = digest(CONTENT)
NOT_ALLOWED = refusal_pb2.REFUSAL_REASON_NOT_ALLOWED


def on_disk(site: Site, name: str) -> Path:
    return site.state_dir / "blobs" / name[:2] / name


async def test_what_is_put_is_fetched(site: Site) -> None:
    blobs = site.user_blobs()
    await blobs.put(DIGEST, CONTENT)
    assert (await blobs.stat(DIGEST)) == blobs_pb2.StatResponse(complete=True, size_bytes=len(CONTENT))
    assert await blobs.fetch(DIGEST) == CONTENT
    await blobs.put(DIGEST, CONTENT)


@pytest.mark.parametrize("content", [b"", b"x", os.urandom(frames.CHUNK_BYTES), os.urandom(2**21)])
async def test_sizes_at_the_edges(site: Site, content: bytes) -> None:
    blobs = site.user_blobs()
    await blobs.put(digest(content), content)
    assert await blobs.fetch(digest(content)) == content


@pytest.mark.parametrize("offset", [1, frames.CHUNK_BYTES, len(CONTENT) - 1, len(CONTENT)])
async def test_a_fetch_goes_on_where_it_stopped(site: Site, offset: int) -> None:
    blobs = site.user_blobs()
    await blobs.put(DIGEST, CONTENT)
    assert await blobs.fetch(DIGEST, offset) == CONTENT[offset:]


async def test_a_fetch_from_beyond_the_end(site: Site) -> None:
    blobs = site.user_blobs()
    await blobs.put(DIGEST, CONTENT)
    assert await refusal_of(blobs.fetch(DIGEST, len(CONTENT) + 1)) == refusal_pb2.REFUSAL_REASON_BAD_REQUEST


async def test_a_put_goes_on_where_it_stopped(site: Site) -> None:
    blobs = site.user_blobs()
    reason = await refusal_of(blobs.put(DIGEST, CONTENT[: 2**20], size_bytes=len(CONTENT)))
    assert reason == refusal_pb2.REFUSAL_REASON_BLOB_DAMAGED
    stat = await blobs.stat(DIGEST)
    assert (stat.complete, stat.size_bytes) == (False, 2**20)
    await blobs.put(DIGEST, CONTENT[2**20 :], offset_bytes=2**20)
    assert await blobs.fetch(DIGEST) == CONTENT


async def test_the_generated_messages_mean_the_same(site: Site) -> None:
    stub = blobs_pb2_grpc.BlobsStub(site.users_channel())
    metadata = site.user_metadata()

    async def parts() -> AsyncIterator[blobs_pb2.PutRequest]:
        yield blobs_pb2.PutRequest(header=blobs_pb2.PutHeader(digest=digest(b"ab"), size_bytes=2))
        yield blobs_pb2.PutRequest(data=b"a")
        yield blobs_pb2.PutRequest(data=b"b")

    await stub.Put(parts(), metadata=metadata)
    call = stub.Fetch(blobs_pb2.FetchRequest(digest=digest(b"ab")), metadata=metadata)
    assert b"".join([message.data async for message in call]) == b"ab"


async def test_a_damaged_upload(site: Site) -> None:
    blobs = site.user_blobs()
    reason = await refusal_of(blobs.put(DIGEST, b"x" + CONTENT[1:]))
    assert reason == refusal_pb2.REFUSAL_REASON_BLOB_DAMAGED
    assert (await blobs.stat(DIGEST)) == blobs_pb2.StatResponse()


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([], id="nothing"),
        pytest.param([b"data"], id="no header"),
        pytest.param([blobs_pb2.PutHeader(digest="../../x", size_bytes=1), b"x"], id="no digest"),
        pytest.param([blobs_pb2.PutHeader(digest=DIGEST, size_bytes=1), b"xy"], id="more than promised"),
        pytest.param([blobs_pb2.PutHeader(digest=DIGEST, size_bytes=9, offset_bytes=5), b"x"], id="a hole"),
        pytest.param([blobs_pb2.PutHeader(digest=DIGEST, size_bytes=2)] * 2, id="two headers"),
    ],
)
async def test_malformed_uploads(site: Site, parts: list[frames.PutPart]) -> None:
    assert await refusal_of(site.user_blobs().put_parts(parts)) == refusal_pb2.REFUSAL_REASON_BAD_REQUEST
    assert not on_disk(site, DIGEST).exists()


async def test_a_blob_that_is_too_large(site: Site) -> None:
    await site.coordinator.stop()
    await site.start(max_blob_bytes=1000)
    reason = await refusal_of(site.user_blobs().put(DIGEST, CONTENT))
    assert reason == refusal_pb2.REFUSAL_REASON_TOO_LARGE


async def test_a_blob_damaged_on_the_coordinators_disk_is_not_sent(site: Site) -> None:
    blobs = site.user_blobs()
    await blobs.put(DIGEST, CONTENT)
    on_disk(site, DIGEST).write_bytes(CONTENT[:-1])
    assert await refusal_of(blobs.fetch(DIGEST)) == refusal_pb2.REFUSAL_REASON_BLOB_DAMAGED
    await blobs.put(DIGEST, CONTENT)
    assert await blobs.fetch(DIGEST) == CONTENT


async def test_a_damaged_blob_is_replaced_by_putting_it_again(site: Site) -> None:
    blobs = site.user_blobs()
    await blobs.put(DIGEST, CONTENT)
    on_disk(site, DIGEST).write_bytes(b"")
    await blobs.put(DIGEST, CONTENT)
    assert await blobs.fetch(DIGEST) == CONTENT


async def test_a_client_that_hangs_up_leaves_a_part_to_go_on_from(site: Site) -> None:
    blobs = site.user_blobs()
    header = blobs_pb2.PutHeader(digest=DIGEST, size_bytes=len(CONTENT))
    call = site.users_channel().stream_unary(
        f"/{frames.SERVICE}/Put", request_serializer=frames.encode_put, response_deserializer=bytes
    )(metadata=site.user_metadata())
    await call.write(header)
    for start in range(0, 4 * 2**20, frames.CHUNK_BYTES):
        await call.write(CONTENT[start : start + frames.CHUNK_BYTES])
    partial = site.state_dir / "blobs" / "partial" / DIGEST
    while not partial.exists() or partial.stat().st_size < 2**20:
        await blobs.stat(digest("something else"))
    call.cancel()
    while not (stat := await blobs.stat(DIGEST)).size_bytes:
        pass
    await blobs.put(DIGEST, CONTENT[stat.size_bytes :], offset_bytes=stat.size_bytes)
    assert await blobs.fetch(DIGEST) == CONTENT


async def test_without_a_users_token_nothing_is_told(site: Site) -> None:
    blobs = site.user_blobs()
    await blobs.put(DIGEST, CONTENT)
    stub = blobs_pb2_grpc.BlobsStub(site.users_channel())
    for metadata in ((), (("authorization", "Bearer em-user-guess"),), (("authorization", "Basic eDp5"),)):
        reason = await refusal_of(stub.Stat(blobs_pb2.StatRequest(digest=DIGEST), metadata=metadata))
        assert reason == refusal_pb2.REFUSAL_REASON_UNAUTHENTICATED


async def measuring(site: Site, study_id: str) -> tuple[Board, fleet_pb2.Assignment]:
    """A board that has a job of its own."""
    board = await site.join()
    await site.database(add_study, [board.device_id], study_id=study_id)
    assignment = await board.claim(await board.attach())
    assert assignment is not None
    return board, assignment


async def test_a_board_without_a_job_reads_and_writes_nothing(site: Site) -> None:
    await site.user_blobs().put(DIGEST, CONTENT)
    blobs = (await site.join()).blobs
    assert await refusal_of(blobs.stat(DIGEST)) == NOT_ALLOWED
    assert await refusal_of(blobs.fetch(DIGEST)) == NOT_ALLOWED
    assert await refusal_of(blobs.put(DIGEST, CONTENT)) == NOT_ALLOWED


async def test_a_board_reads_what_its_job_needs_and_nothing_else(site: Site) -> None:
    board, assignment = await measuring(site, "mine")
    _, other = await measuring(site, "theirs")
    mine, theirs = assignment.variants[0], other.variants[0]
    artifact = (mine.artifact_digest, mine.compressed_digest)
    # Content can't be made to fit these digests: what is allowed is told apart by what is missing.
    for name in (*artifact, mine.golden.digest, assignment.evaluation.digest):
        assert await refusal_of(board.blobs.fetch(name)) == refusal_pb2.REFUSAL_REASON_BLOB_MISSING
    for name in (theirs.artifact_digest, theirs.compressed_digest, other.evaluation.digest, DIGEST):
        assert await refusal_of(board.blobs.fetch(name)) == NOT_ALLOWED
    await board.end(assignment.attempt, 1)
    for name in artifact:
        assert await refusal_of(board.blobs.fetch(name)) == NOT_ALLOWED


async def test_a_board_puts_what_it_has_to_report(site: Site) -> None:
    board, assignment = await measuring(site, "mine")
    await board.blobs.put(DIGEST, CONTENT)
    assert (await board.blobs.stat(DIGEST)).complete
    assert await refusal_of(board.blobs.fetch(DIGEST)) == NOT_ALLOWED
    await board.end(assignment.attempt, 1)
    assert await refusal_of(board.blobs.put(DIGEST, CONTENT)) == NOT_ALLOWED


async def test_a_board_puts_no_more_than_a_board_may(site: Site) -> None:
    await site.coordinator.stop()
    await site.start(max_board_blob_bytes=1000)
    board, _ = await measuring(site, "mine")
    assert await refusal_of(board.blobs.put(DIGEST, CONTENT)) == refusal_pb2.REFUSAL_REASON_TOO_LARGE
    await site.user_blobs().put(DIGEST, CONTENT)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    mount = tmp_path / "small"
    mount.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", mount], capture_output=True
        ).returncode
    ):
        pytest.skip("a full disk: mounting a small file system takes root")
    try:
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)


def test_a_full_disk_leaves_nothing_half_written(small_disk: Path) -> None:
    store = BlobStore(small_disk / "blobs")
    with (
        store.writer(DIGEST, size_bytes=len(CONTENT)) as writer,
        pytest.raises(Refused, match="no space for blob") as refused,
    ):
        writer.write(CONTENT)
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_DISK_FULL
    assert store.stat(DIGEST) == (False, 0)
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []
    small = CONTENT[: 2**20]
    assert store.require(store.add_bytes(small)).read_bytes() == small


async def test_a_full_disk_is_told_to_the_client(site: Site, small_disk: Path) -> None:
    await site.coordinator.stop()
    (site.state_dir / "blobs").rename(site.state_dir / "blobs.old")
    (site.state_dir / "blobs").symlink_to(small_disk)
    await site.start()
    blobs = site.user_blobs()
    assert await refusal_of(blobs.put(DIGEST, CONTENT)) == refusal_pb2.REFUSAL_REASON_DISK_FULL
    small = CONTENT[: 2**20]
    await blobs.put(digest(small), small)
    assert await blobs.fetch(digest(small)) == small
