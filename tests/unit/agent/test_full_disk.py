"""A disk that has no room: the cache gives its own up before a job fails for it."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgemeter_agent.blob_cache import BlobCache
from edgemeter_agent.link.fetching import Fetcher, FetchError
from edgemeter_agent.worker import EngineEnd, judge_end
from edgemeter_protos.v1 import blobs_pb2, engine_pb2, fleet_pb2

OLD, NEEDED, WANTED = b"a" * 600, b"b" * 300, b"c" * 500


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def stored(cache: BlobCache, content: bytes) -> str:
    digest = digest_of(content)
    cache.fetch(digest, lambda offset: [content[offset:]], received=lambda _size: None)
    return digest


class Blobs:
    """Serves WANTED."""

    def fetch(self, request: blobs_pb2.FetchRequest) -> Any:
        class Call:
            def __iter__(self) -> Iterator[bytes]:
                return iter([WANTED[request.offset_bytes :]])

            def cancel(self) -> None:
                raise AssertionError("nobody asked for that")

        return Call()


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Holds `size_bytes` in all files of the cache; more is ENOSPC."""
    disk = SimpleNamespace(size_bytes=10_000)
    write = os.write

    def used_bytes() -> int:
        return sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())

    def write_if_room(descriptor: int, content: Any) -> int:
        if used_bytes() + len(content) > disk.size_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, content)

    monkeypatch.setattr(os, "write", write_if_room)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _path: SimpleNamespace(free=disk.size_bytes - used_bytes())
    )
    return disk


def test_what_other_jobs_left_makes_room(tmp_path: Path, small_disk: SimpleNamespace) -> None:
    cache = BlobCache(tmp_path, min_free_bytes=0)
    old, needed = stored(cache, OLD), stored(cache, NEEDED)
    small_disk.size_bytes = 1000
    wanted = digest_of(WANTED)
    files = Fetcher(cache, Blobs()).fetch_all([needed, wanted], lambda _share, _phase: None)  # type: ignore[arg-type]
    assert files[wanted].read_bytes() == WANTED
    assert cache.find(needed) is not None
    assert cache.find(old) is None


def test_where_nothing_is_left_to_remove_the_job_hears_of_it(
    tmp_path: Path, small_disk: SimpleNamespace
) -> None:
    cache = BlobCache(tmp_path, min_free_bytes=0)
    needed = stored(cache, NEEDED)
    small_disk.size_bytes = 700
    with pytest.raises(FetchError, match="the board's disk is full: no room for blob") as failed:
        Fetcher(cache, Blobs()).fetch_all([needed, digest_of(WANTED)], lambda _share, _phase: None)  # type: ignore[arg-type]
    assert failed.value.outcome == fleet_pb2.ATTEMPT_OUTCOME_DEVICE_FAILED
    assert cache.find(needed) is not None


@pytest.mark.parametrize(
    ("size_bytes", "left"),
    [
        # 900 bytes are used, and 400 are to be free
        pytest.param(1300, [OLD, NEEDED], id="enough"),
        pytest.param(1200, [NEEDED], id="the-oldest-goes"),
        pytest.param(500, [], id="all-go"),
    ],
)
def test_a_job_finds_room_for_its_own_files(
    tmp_path: Path, small_disk: SimpleNamespace, size_bytes: int, left: list[bytes]
) -> None:
    cache = BlobCache(tmp_path, min_free_bytes=400)
    digests = {content: stored(cache, content) for content in (OLD, NEEDED)}
    for age, digest in enumerate(digests.values()):
        os.utime(tmp_path / "blobs" / digest, (age, age))
    small_disk.size_bytes = size_bytes
    cache.trim(keep=[])
    assert [content for content, digest in digests.items() if cache.find(digest)] == left


@pytest.mark.parametrize("device_failed", [False, True])
def test_the_engine_says_whose_failure_it_is(device_failed: bool) -> None:
    failure = engine_pb2.EngineFailure(detail="why", device_failed=device_failed)
    end = EngineEnd(last=failure, exit_code=0, last_words="", deadline_s=90, overran=False)
    outcomes = fleet_pb2.AttemptOutcome
    expected = (
        outcomes.ATTEMPT_OUTCOME_DEVICE_FAILED if device_failed else outcomes.ATTEMPT_OUTCOME_JOB_FAILED
    )
    assert judge_end(end) == fleet_pb2.AttemptEnd(outcome=expected, detail="why")
