"""An agent at work on artifacts that the coordinator offers compressed."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest
import zstandard

from edgemeter_protos.v1 import fleet_pb2
from tests.integration.agent.link.miniature_coordinator import Coordinator
from tests.integration.agent.link.patience import wait_until
from tests.integration.agent.link.running_link import StartLink

# Half of it is zeros.
ARTIFACT = os.urandom(1 << 20) + bytes(1 << 20) + os.urandom(1 << 20) + bytes(1 << 20)


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


DIGEST = digest_of(ARTIFACT)
PACKED = digest_of(zstandard.ZstdCompressor().compress(ARTIFACT))


def measured(coordinator: Coordinator) -> list[tuple[str, int]]:
    """Fetches of the artifact in either form, once the job has gone well."""
    end = wait_until(lambda: coordinator.end_of("job"), "the attempt's end")
    assert end.outcome == fleet_pb2.ATTEMPT_OUTCOME_COMPLETED, end.detail
    # The engine read the artifact itself.
    assert coordinator.blobs[coordinator.reports["job", 1, 1].result.samples_digest] == ARTIFACT[::-1]
    return [(digest, offset) for digest, offset in coordinator.seen.offsets if digest in (DIGEST, PACKED)]


def test_only_the_compressed_copy_is_fetched(
    coordinator: Coordinator, start_link: StartLink, tmp_path: Path
) -> None:
    coordinator.offer("job", [ARTIFACT], compressed=True)
    start_link("measure")
    assert measured(coordinator) == [(PACKED, 0)]
    names = {path.name for path in (tmp_path / "state" / "cache").rglob("*") if path.is_file()}
    assert DIGEST in names
    assert PACKED not in names


def test_one_that_broke_goes_on_where_it_broke(coordinator: Coordinator, start_link: StartLink) -> None:
    coordinator.offer("job", [ARTIFACT], compressed=True)
    coordinator.faults.break_after_bytes[PACKED] = 1 << 20
    start_link("measure")
    assert measured(coordinator) == [(PACKED, 0), (PACKED, 1 << 20)]


@pytest.mark.parametrize(
    ("damaged_times", "fetched"),
    [
        pytest.param(1, [PACKED, PACKED], id="once"),
        pytest.param(2, [PACKED, PACKED, DIGEST], id="twice"),
    ],
)
def test_a_damaged_copy(
    coordinator: Coordinator, start_link: StartLink, damaged_times: int, fetched: list[str]
) -> None:
    coordinator.offer("job", [ARTIFACT], compressed=True)
    coordinator.faults.damage_times[PACKED] = damaged_times
    start_link("measure")
    assert measured(coordinator) == [(digest, 0) for digest in fetched]


def test_a_copy_that_the_coordinator_lost(coordinator: Coordinator, start_link: StartLink) -> None:
    coordinator.offer("job", [ARTIFACT], compressed=True)
    del coordinator.blobs[PACKED]
    start_link("measure")
    assert measured(coordinator) == [(PACKED, 0), (DIGEST, 0)]


def test_a_board_that_cannot_decompress(
    coordinator: Coordinator, start_link: StartLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("compression.zstd", "zstandard"):
        monkeypatch.setitem(sys.modules, name, None)
    coordinator.offer("job", [ARTIFACT], compressed=True)
    start_link("measure")
    assert measured(coordinator) == [(DIGEST, 0)]
