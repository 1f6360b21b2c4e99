"""Uploads at a coordinator that runs: nothing is sent twice, and what was cut goes on."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from edgemeter_coordinator import EdgemeterError
from edgemeter_coordinator.sdk import channel, upload
from edgemeter_coordinator.sdk.settings import Settings
from edgemeter_protos.frames import CHUNK_BYTES, BlobsClient
from edgemeter_protos.v1 import blobs_pb2

SIZE_BYTES = 5 * CHUNK_BYTES + 123


@pytest.fixture
def link(where: Settings) -> Iterator[grpc.Channel]:
    with channel.open_channel(where) as opened:
        yield opened


@pytest.fixture
def file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Bytes of this test's own, so that no other test has put them."""
    path = tmp_path / "blob"
    path.write_bytes(random.Random(request.node.nodeid).randbytes(SIZE_BYTES))
    return path


class Recorder:
    """An upload's progress."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def __call__(self, done_bytes: int, total_bytes: int) -> None:
        self.calls.append((done_bytes, total_bytes))


def put(path: Path, link: grpc.Channel, where: Settings) -> tuple[str, list[tuple[int, int]]]:
    recorder = Recorder()
    return upload.upload(path, channel=link, address=where.address, progress=recorder), recorder.calls


def test_a_file_arrives_whole_and_once(file: Path, link: grpc.Channel, where: Settings) -> None:
    digest, calls = put(file, link, where)
    assert digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert [done for done, _ in calls][:2] == [CHUNK_BYTES, 2 * CHUNK_BYTES]
    assert calls[-1] == (SIZE_BYTES, SIZE_BYTES)
    there = BlobsClient(link).stat(blobs_pb2.StatRequest(digest=digest))
    assert (there.complete, there.size_bytes) == (True, SIZE_BYTES)
    # Again: nothing is sent.
    assert put(file, link, where) == (digest, [(SIZE_BYTES, SIZE_BYTES)])


def cut_short(file: Path, link: grpc.Channel, content: bytes) -> None:
    """A Put of `file` that ends after `content`."""
    header = blobs_pb2.PutHeader(digest=upload.file_digest(file), size_bytes=SIZE_BYTES)
    with pytest.raises(grpc.RpcError):
        BlobsClient(link).put(iter([header, content]))


def test_what_was_cut_goes_on(file: Path, link: grpc.Channel, where: Settings) -> None:
    cut_short(file, link, file.read_bytes()[:CHUNK_BYTES])
    there = BlobsClient(link).stat(blobs_pb2.StatRequest(digest=upload.file_digest(file)))
    assert (there.complete, there.size_bytes) == (False, CHUNK_BYTES)
    digest, calls = put(file, link, where)
    assert calls[0] == (2 * CHUNK_BYTES, SIZE_BYTES)
    assert BlobsClient(link).stat(blobs_pb2.StatRequest(digest=digest)).complete


def test_a_damaged_beginning_is_sent_anew(file: Path, link: grpc.Channel, where: Settings) -> None:
    cut_short(file, link, bytes(CHUNK_BYTES))
    digest, calls = put(file, link, where)
    assert (CHUNK_BYTES, SIZE_BYTES) in calls
    assert BlobsClient(link).stat(blobs_pb2.StatRequest(digest=digest)).complete


def test_an_empty_file(tmp_path: Path, link: grpc.Channel, where: Settings) -> None:
    (tmp_path / "empty").write_bytes(b"")
    digest, calls = put(tmp_path / "empty", link, where)
    assert digest == hashlib.sha256().hexdigest()
    assert calls == [(0, 0)]


def test_files_that_cannot_be_read(tmp_path: Path, link: grpc.Channel, where: Settings) -> None:
    with pytest.raises(EdgemeterError, match=r"no file .*gone"):
        put(tmp_path / "gone", link, where)
    with pytest.raises(EdgemeterError, match="directory"):
        put(tmp_path, link, where)
