from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemeter_agent.blob_cache import BlobCache, BlobDamagedError, Chunk, DiskFullError, Source
from edgemeter_agent.runtimes.unpacked_folder import folder_of

CONTENT = bytes(range(256)) * 40
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def ignore(size_bytes: int) -> None:
    """Nobody watches."""


def source(content: bytes, chunk_bytes: int = 1000, break_at: int | None = None) -> Source:
    def chunks(offset: int) -> Iterator[bytes]:
        for start in range(offset, len(content), chunk_bytes):
            if break_at is not None and start >= break_at:
                raise ConnectionResetError
            yield content[start : start + chunk_bytes]

    return chunks


def test_a_blob_is_kept_under_its_digest(tmp_path: Path) -> None:
    told: list[int] = []
    cache = BlobCache(tmp_path)
    path = cache.fetch(DIGEST, source(CONTENT, 4096), received=told.append)
    assert path.read_bytes() == CONTENT
    assert told == [4096, 8192, len(CONTENT)]
    assert cache.find(DIGEST) == path
    assert list((tmp_path / "partial").iterdir()) == []


# Ten thousand chunks of one byte take long on a busy machine.
@settings(deadline=None)
@given(break_at=st.integers(0, len(CONTENT)), chunk_bytes=st.integers(1, 5000))
def test_a_broken_transfer_goes_on_where_it_broke(
    tmp_path_factory: pytest.TempPathFactory, break_at: int, chunk_bytes: int
) -> None:
    cache = BlobCache(tmp_path_factory.mktemp("cache"))
    offsets = []

    def second(offset: int) -> Iterable[Chunk]:
        offsets.append(offset)
        return source(CONTENT)(offset)

    try:
        path = cache.fetch(DIGEST, source(CONTENT, chunk_bytes, break_at), received=ignore)
    except ConnectionResetError:
        path = cache.fetch(DIGEST, second, received=ignore)
        # Whole chunks arrive; the break is at the first one that starts at or after it.
        assert offsets == [-(-break_at // chunk_bytes) * chunk_bytes]
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "arrived",
    [
        pytest.param(CONTENT[:-1] + b"x", id="a flipped byte"),
        pytest.param(CONTENT[:-1], id="too short"),
        pytest.param(CONTENT + b"x", id="too long"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_what_is_damaged_is_not_kept(tmp_path: Path, arrived: bytes) -> None:
    cache = BlobCache(tmp_path)
    with pytest.raises(BlobDamagedError, match=DIGEST[:12]):
        cache.fetch(DIGEST, source(arrived), received=ignore)
    assert cache.find(DIGEST) is None
    assert list((tmp_path / "partial").iterdir()) == []


def test_a_file_that_rotted_is_found_out(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path)
    path = cache.fetch(DIGEST, source(CONTENT), received=ignore)
    path.write_bytes(CONTENT[:100])
    assert cache.find(DIGEST) is None
    assert not path.exists()


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cache = BlobCache(tmp_path)
    monkeypatch.setattr(os, "write", write)
    with pytest.raises(DiskFullError, match="no room for blob"):
        cache.fetch(DIGEST, source(CONTENT, 10), received=ignore)
    assert list((tmp_path / "partial").iterdir()) == []
    assert cache.find(DIGEST) is None


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    path = BlobCache(tmp_path).fetch(DIGEST, source(CONTENT), received=ignore)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, DIGEST[:-1], DIGEST + "\n"])
def test_only_a_digest_becomes_a_file_name(tmp_path: Path, name: str) -> None:
    cache = BlobCache(tmp_path)
    with pytest.raises(BlobDamagedError, match="no SHA-256 digest"):
        cache.find(name)
    with pytest.raises(BlobDamagedError, match="no SHA-256 digest"):
        cache.fetch(name, source(CONTENT), received=ignore)


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, limit_bytes=250)
    digests = []
    for age, letter in enumerate((b"a", b"b", b"c", b"d")):
        content = letter * 100
        digests.append(hashlib.sha256(content).hexdigest())
        path = cache.fetch(digests[-1], source(content), received=ignore)
        os.utime(path, (1000 + age, 1000 + age))
    oldest, second, third, fourth = digests
    cache.find(second)
    cache.trim(keep=[oldest])
    assert [digest for digest in digests if cache.find(digest)] == [oldest, second]
    assert third
    assert fourth


def test_a_folder_that_was_unpacked_beside_a_blob_goes_with_it(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, limit_bytes=10_000)
    first, second = (hashlib.sha256(content).hexdigest() for content in (b"first", b"second"))
    for digest, content in ((first, b"first"), (second, b"second")):
        path = cache.fetch(digest, source(content), received=ignore)
        folder_of(path).mkdir()
        (folder_of(path) / "weights").write_bytes(bytes(8_000))
        if digest == first:
            os.utime(path, ns=(1, 1))
    cache.trim(keep=())
    there = sorted(path.name for path in (tmp_path / "blobs").iterdir())
    assert there == sorted([second, f"{second}.unpacked"])
    assert cache.clear(keep=())
    assert not list((tmp_path / "blobs").iterdir())
