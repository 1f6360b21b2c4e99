"""A file that is fetched compressed: what the cache holds afterwards, however it went."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from edgemeter_agent.blob_cache import BlobCache
from edgemeter_agent.compression import Decompressor, find_decompressor
from edgemeter_agent.link.fetching import CompressedBlob, Fetcher, FetchError, FetchStoppedError
from edgemeter_protos.v1 import blobs_pb2

CONTENT = os.urandom(2000) * 1000
PACKED = zstandard.ZstdCompressor(level=19).compress(CONTENT)


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


DIGEST, PACKED_DIGEST = digest_of(CONTENT), digest_of(PACKED)


class Blobs:
    """Serves by digest, whatever its content, and notes what was asked for."""

    def __init__(self, stored: dict[str, bytes] | None = None) -> None:
        self.stored = stored or {DIGEST: CONTENT, PACKED_DIGEST: PACKED}
        self.asked: list[tuple[str, int]] = []

    def fetch(self, request: blobs_pb2.FetchRequest) -> Any:
        self.asked.append((request.digest, request.offset_bytes))
        content = self.stored[request.digest][request.offset_bytes :]

        class Call:
            def __iter__(self) -> Iterator[bytes]:
                return iter([content])

            def cancel(self) -> None:
                """It is over."""

        return Call()


def fetcher_of(cache: BlobCache, blobs: Blobs, decompressor: Decompressor | None) -> Fetcher:
    return Fetcher(cache, blobs, decompressor=lambda: decompressor)  # type: ignore[arg-type]


def fetch(fetcher: Fetcher, content_bytes: int = len(CONTENT)) -> bytes:
    compressed = {DIGEST: CompressedBlob(digest=PACKED_DIGEST, content_bytes=content_bytes)}
    files = fetcher.fetch_all([DIGEST], lambda _share, _phase: None, compressed=compressed)
    return files[DIGEST].read_bytes()


def left(tmp_path: Path) -> set[str]:
    """Digests of all that the cache holds."""
    return {path.name for path in tmp_path.rglob("*") if path.is_file()}


@pytest.fixture
def decompressor() -> Decompressor:
    found = find_decompressor()
    assert found is not None
    return found


def test_the_compressed_copy_travels_and_goes(tmp_path: Path, decompressor: Decompressor) -> None:
    blobs = Blobs()
    fetcher = fetcher_of(BlobCache(tmp_path), blobs, decompressor)
    assert fetch(fetcher) == CONTENT
    assert left(tmp_path) == {DIGEST}
    assert fetch(fetcher) == CONTENT
    assert blobs.asked == [(PACKED_DIGEST, 0)]


def test_without_a_decompressor_the_file_travels_as_it_is(tmp_path: Path) -> None:
    blobs = Blobs()
    assert fetch(fetcher_of(BlobCache(tmp_path), blobs, None)) == CONTENT
    assert blobs.asked == [(DIGEST, 0)]


OTHER = zstandard.ZstdCompressor().compress(CONTENT[::-1])


@pytest.mark.parametrize(
    ("served", "content_bytes", "asked", "warning"),
    [
        pytest.param(PACKED[:-1] + b"!", len(CONTENT), 2, "twice", id="damaged each time"),
        pytest.param(PACKED, len(CONTENT) - 1, 1, "more than", id="larger than announced"),
        pytest.param(PACKED, len(CONTENT) + 1, 1, "were announced", id="smaller than announced"),
    ],
)
def test_a_copy_that_is_no_good_is_done_without(
    tmp_path: Path,
    decompressor: Decompressor,
    caplog: pytest.LogCaptureFixture,
    served: bytes,
    content_bytes: int,
    asked: int,
    warning: str,
) -> None:
    blobs = Blobs({DIGEST: CONTENT, PACKED_DIGEST: served})
    with caplog.at_level(logging.WARNING):
        assert fetch(fetcher_of(BlobCache(tmp_path), blobs, decompressor), content_bytes) == CONTENT
    assert blobs.asked == [(PACKED_DIGEST, 0)] * asked + [(DIGEST, 0)]
    assert left(tmp_path) == {DIGEST}
    assert "is fetched as it is, not compressed" in caplog.messages[-1]
    assert warning in caplog.messages[-1]


def test_a_copy_of_something_else_is_done_without(
    tmp_path: Path, decompressor: Decompressor, caplog: pytest.LogCaptureFixture
) -> None:
    """It is what its digest names, and as long as it should be."""
    name = digest_of(OTHER)
    blobs = Blobs({DIGEST: CONTENT, name: OTHER})
    compressed = {DIGEST: CompressedBlob(digest=name, content_bytes=len(CONTENT))}
    fetcher = fetcher_of(BlobCache(tmp_path), blobs, decompressor)
    files = fetcher.fetch_all([DIGEST], lambda _share, _phase: None, compressed=compressed)
    assert files[DIGEST].read_bytes() == CONTENT
    assert blobs.asked == [(name, 0), (DIGEST, 0)]
    assert left(tmp_path) == {DIGEST}
    assert "not compressed" in caplog.text


@pytest.mark.parametrize(
    ("room_bytes", "asked"),
    [
        pytest.param(len(CONTENT) + len(PACKED), [PACKED_DIGEST], id="for both"),
        pytest.param(len(CONTENT), [PACKED_DIGEST, DIGEST], id="for the file alone"),
    ],
)
def test_a_full_disk_holds_the_file_where_it_can(
    tmp_path: Path,
    decompressor: Decompressor,
    monkeypatch: pytest.MonkeyPatch,
    room_bytes: int,
    asked: list[str],
) -> None:
    limit_disk(tmp_path, monkeypatch, room_bytes)
    blobs = Blobs()
    assert fetch(fetcher_of(BlobCache(tmp_path, min_free_bytes=0), blobs, decompressor)) == CONTENT
    assert [digest for digest, _ in blobs.asked] == asked
    assert left(tmp_path) == {DIGEST}


def test_what_other_jobs_left_makes_room_first(
    tmp_path: Path, decompressor: Decompressor, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = BlobCache(tmp_path, min_free_bytes=0)
    old = b"of another job" * 100
    cache.fetch(digest_of(old), lambda offset: [old[offset:]], received=lambda _size: None)
    limit_disk(tmp_path, monkeypatch, len(CONTENT) + len(PACKED))
    blobs = Blobs()
    assert fetch(fetcher_of(cache, blobs, decompressor)) == CONTENT
    assert blobs.asked == [(PACKED_DIGEST, 0)]
    assert left(tmp_path) == {DIGEST}


def test_a_disk_too_small_for_the_file_fails_the_attempt_and_is_left_empty(
    tmp_path: Path, decompressor: Decompressor, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_disk(tmp_path, monkeypatch, len(CONTENT) - 1)
    with pytest.raises(FetchError, match="the board's disk is full"):
        fetch(fetcher_of(BlobCache(tmp_path, min_free_bytes=0), Blobs(), decompressor))
    assert left(tmp_path) == set()


def limit_disk(folder: Path, monkeypatch: pytest.MonkeyPatch, room_bytes: int) -> None:
    write = os.write

    def write_if_room(descriptor: int, content: Any) -> int:
        used_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if used_bytes + len(content) > room_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, content)

    monkeypatch.setattr(os, "write", write_if_room)


def test_one_that_is_stopped_goes_on_from_what_it_has(tmp_path: Path, decompressor: Decompressor) -> None:
    blobs = Blobs()
    fetcher = fetcher_of(BlobCache(tmp_path), blobs, decompressor)

    def tell(_share: float, phase: str) -> None:
        if phase.startswith("decompressing"):
            fetcher.stop()

    compressed = {DIGEST: CompressedBlob(digest=PACKED_DIGEST, content_bytes=len(CONTENT))}
    with pytest.raises(FetchStoppedError):
        fetcher.fetch_all([DIGEST], tell, compressed=compressed)
    assert PACKED_DIGEST in left(tmp_path)
    assert fetch(fetcher_of(BlobCache(tmp_path), blobs, decompressor)) == CONTENT
    assert blobs.asked == [(PACKED_DIGEST, 0)]
    assert left(tmp_path) == {DIGEST}


KILLED = """
import os, signal, sys
from pathlib import Path
from edgemeter_agent.blob_cache import BlobCache
from edgemeter_agent.compression import find_decompressor

root, packed, digest, size_bytes = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
cache = BlobCache(Path(root))

def content(offset_bytes):
    with cache.find(packed).open("rb") as file:
        for number, chunk in enumerate(find_decompressor().chunks(file, size_bytes=size_bytes)):
            if number == 3:
                while not Path(root, "partial", digest).stat().st_size:
                    pass
                os.kill(os.getpid(), signal.SIGKILL)
            yield chunk

cache.fetch(digest, content, received=lambda size: None)
"""


def test_a_kill_in_the_middle_leaves_a_beginning(tmp_path: Path, decompressor: Decompressor) -> None:
    cache = BlobCache(tmp_path)
    cache.fetch(PACKED_DIGEST, lambda offset: [PACKED[offset:]], received=lambda _size: None)
    arguments = [str(tmp_path), PACKED_DIGEST, DIGEST, str(len(CONTENT))]
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], timeout=60)
    assert killed.returncode < 0
    partial = (tmp_path / "partial" / DIGEST).read_bytes()
    assert partial
    assert CONTENT.startswith(partial)
    assert cache.find(DIGEST) is None
    blobs = Blobs()
    assert fetch(fetcher_of(cache, blobs, decompressor)) == CONTENT
    assert blobs.asked == []
    assert left(tmp_path) == {DIGEST}


def test_without_its_decompressor_a_beginning_goes_on_as_it_is(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path)
    (tmp_path / "partial" / DIGEST).write_bytes(CONTENT[:5000])
    blobs = Blobs()
    assert fetch(fetcher_of(cache, blobs, None)) == CONTENT
    assert blobs.asked == [(DIGEST, 5000)]
