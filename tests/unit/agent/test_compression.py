from __future__ import annotations

import io
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_agent import compression
from edgemeter_agent.compression import CompressedBlobError, Decompressor, find_decompressor, transfer

CONTENT = os.urandom(1000) * 900
COMPRESSED = zstandard.ZstdCompressor(level=19).compress(CONTENT)

INCOMPLETE = "were announced|ended before"
WAYS = ["_zstandard"] + ["_standard_library"] * (sys.version_info >= (3, 14))


def wide_window() -> bytes:
    """What takes 128 MiB to decompress."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=27)
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return writer.compress(CONTENT) + writer.flush()


@pytest.fixture(params=WAYS)
def decompressor(request: pytest.FixtureRequest) -> Decompressor:
    found = getattr(compression, request.param)()
    assert isinstance(found, Decompressor)
    return found


@given(offset_bytes=st.integers(0, len(CONTENT) + 10))
def test_a_part_is_the_part_from_there_on(offset_bytes: int) -> None:
    chunks = compression._zstandard().chunks(
        io.BytesIO(COMPRESSED), size_bytes=len(CONTENT), offset_bytes=offset_bytes
    )
    assert b"".join(chunks) == CONTENT[offset_bytes:]


def test_it_comes_a_little_at_a_time(decompressor: Decompressor) -> None:
    chunks = list(decompressor.chunks(io.BytesIO(COMPRESSED), size_bytes=len(CONTENT)))
    assert b"".join(chunks) == CONTENT
    assert max(map(len, chunks)) <= 256 * 1024


@pytest.mark.parametrize(
    ("compressed", "size_bytes", "complaint"),
    [
        pytest.param(COMPRESSED, len(CONTENT) - 1, "more than", id="longer than announced"),
        pytest.param(COMPRESSED, len(CONTENT) + 1, INCOMPLETE, id="shorter than announced"),
        pytest.param(COMPRESSED[:-5], len(CONTENT), INCOMPLETE, id="cut"),
        pytest.param(b"", len(CONTENT), INCOMPLETE, id="empty"),
        pytest.param(CONTENT, len(CONTENT), "can't read it", id="not compressed"),
        pytest.param(wide_window(), len(CONTENT), "too much memory", id="greedy"),
    ],
)
def test_what_is_not_as_announced_is_refused(
    decompressor: Decompressor, compressed: bytes, size_bytes: int, complaint: str
) -> None:
    with pytest.raises(CompressedBlobError, match=complaint):
        list(decompressor.chunks(io.BytesIO(compressed), size_bytes=size_bytes))


def test_a_bomb_goes_off_at_the_announced_size(decompressor: Decompressor) -> None:
    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(64 * 1024**2))
    assert len(bomb) < 10_000
    got: list[int] = []
    chunks = decompressor.chunks(io.BytesIO(bomb), size_bytes=300_000)
    with pytest.raises(CompressedBlobError, match="more than the 300000 bytes announced"):
        got.extend(map(len, chunks))
    assert 0 < sum(got) <= 300_000


@pytest.mark.parametrize(
    ("missing", "found"),
    [
        pytest.param([], True, id="all there"),
        pytest.param(["compression.zstd"], True, id="the package"),
        pytest.param(["compression.zstd", "zstandard"], False, id="neither"),
    ],
)
def test_the_choice_follows_what_is_installed(
    missing: list[str], found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    assert (find_decompressor() is not None) is found


def test_the_standard_library_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its interface is what Python 3.14 documents; who runs an older one sees the order only."""
    zstd = SimpleNamespace(
        DecompressionParameter=SimpleNamespace(window_log_max="window"), ZstdError=ValueError
    )
    monkeypatch.setitem(sys.modules, "compression", SimpleNamespace(zstd=zstd))
    monkeypatch.setitem(sys.modules, "compression.zstd", zstd)
    found = find_decompressor()
    assert found is not None
    assert found.name.startswith("Python 3.")


def test_people_are_told() -> None:
    found = compression._zstandard()
    assert transfer(found) == f"compressed (zstandard {zstandard.__version__})"
    assert transfer(None) == "as they are: install zstandard for smaller transfers"


def test_an_agent_that_waits_has_imported_neither() -> None:
    probe = (
        "import sys; import edgemeter_agent.link.driver; "
        "print([name for name in ('zstandard', 'compression.zstd') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
