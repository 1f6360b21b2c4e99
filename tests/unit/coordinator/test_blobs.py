from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_coordinator.blobs import BlobStore, file_sha256
from edgemeter_coordinator.refusal import Refused
from edgemeter_protos.v1 import refusal_pb2
from tests.lab_rows import digest

CONTENT = bytes(range(256)) * 4096
DIGEST = digest(CONTENT)
SIZE = len(CONTENT)


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def files(store: BlobStore) -> list[str]:
    return sorted(str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file())


def refusal(call: Callable[[], object]) -> int:
    with pytest.raises(Refused) as refused:
        call()
    return refused.value.reason


def put(store: BlobStore, content: bytes, offset_bytes: int = 0, name: str = DIGEST) -> None:
    with store.writer(name, size_bytes=SIZE, offset_bytes=offset_bytes) as writer:
        writer.write(content)
        writer.commit()


def put_part(store: BlobStore, size_bytes: int) -> None:
    with store.writer(DIGEST, size_bytes=SIZE) as writer:
        writer.write(CONTENT[:size_bytes])


def test_a_blob_is_found_under_its_digest(store: BlobStore) -> None:
    assert store.stat(DIGEST) == (False, 0)
    put(store, CONTENT)
    assert store.stat(DIGEST) == (True, SIZE)
    assert store.require(DIGEST) == store.path(DIGEST)
    assert store.path(DIGEST).read_bytes() == CONTENT
    assert files(store) == [f"{DIGEST[:2]}/{DIGEST}"]


def test_an_interrupted_write_goes_on_where_it_stopped(store: BlobStore) -> None:
    put_part(store, 1000)
    assert store.stat(DIGEST) == (False, 1000)
    put(store, CONTENT[1000:], 1000)
    assert store.path(DIGEST).read_bytes() == CONTENT


def test_an_interrupted_write_goes_on_in_another_process(store: BlobStore) -> None:
    put_part(store, 1000)
    reopened = BlobStore(store.root)
    reopened.clean()
    assert reopened.stat(DIGEST) == (False, 1000)
    put(reopened, CONTENT[1000:], 1000)
    assert reopened.require(DIGEST).read_bytes() == CONTENT


def test_a_write_may_go_back(store: BlobStore) -> None:
    put_part(store, 1000)
    put(store, CONTENT[500:], 500)
    assert store.path(DIGEST).read_bytes() == CONTENT


def test_a_write_may_not_leave_a_hole(store: BlobStore) -> None:
    put_part(store, 1000)
    reason = refusal(lambda: store.writer(DIGEST, size_bytes=SIZE, offset_bytes=1001))
    assert reason == refusal_pb2.REFUSAL_REASON_BAD_REQUEST
    assert store.stat(DIGEST) == (False, 1000)


def test_what_was_damaged_on_the_way_is_removed(store: BlobStore) -> None:
    assert refusal(lambda: put(store, b"x" + CONTENT[1:])) == refusal_pb2.REFUSAL_REASON_BLOB_DAMAGED
    assert files(store) == []
    put(store, CONTENT)


def test_a_part_that_was_damaged_on_disk_is_noticed(store: BlobStore) -> None:
    put_part(store, 1000)
    (store.root / "partial" / DIGEST).write_bytes(b"x" * 1000)
    assert refusal(lambda: put(store, CONTENT[1000:], 1000)) == refusal_pb2.REFUSAL_REASON_BLOB_DAMAGED
    assert files(store) == []


def test_a_blob_that_ends_early_keeps_its_part(store: BlobStore) -> None:
    assert refusal(lambda: put(store, CONTENT[:-1])) == refusal_pb2.REFUSAL_REASON_BLOB_DAMAGED
    assert store.stat(DIGEST) == (False, SIZE - 1)


def test_a_blob_that_goes_on_is_refused(store: BlobStore) -> None:
    assert refusal(lambda: put(store, CONTENT + b"x")) == refusal_pb2.REFUSAL_REASON_BAD_REQUEST
    assert files(store) == []


def test_a_blob_that_is_too_large_is_refused_before_it_comes(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, max_blob_bytes=SIZE - 1)
    assert refusal(lambda: put(store, CONTENT)) == refusal_pb2.REFUSAL_REASON_TOO_LARGE
    assert files(store) == []


@pytest.mark.parametrize(
    "name",
    ["", "a" * 63, "a" * 65, "A" * 64, "../" * 21 + "a", f"{'a' * 63}/", f"{'a' * 64}\n", f"\0{'a' * 63}"],
)
def test_a_name_that_is_no_digest_never_reaches_the_disk(store: BlobStore, name: str) -> None:
    for call in (
        lambda: store.path(name),
        lambda: store.stat(name),
        lambda: store.require(name),
        lambda: store.writer(name, size_bytes=1),
    ):
        assert refusal(call) == refusal_pb2.REFUSAL_REASON_BAD_REQUEST
    assert files(store) == []


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_bytes(CONTENT[:-1]), id="truncated"),
        pytest.param(lambda path: path.write_bytes(b"x" + CONTENT[1:]), id="changed"),
        pytest.param(lambda path: path.write_bytes(b""), id="emptied"),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_a_blob_damaged_on_disk_is_set_aside(
    store: BlobStore, damage: Callable[[Path], object], known: bool
) -> None:
    put(store, CONTENT)
    damage(store.path(DIGEST))
    if not known:
        store = BlobStore(store.root)
    assert refusal(lambda: store.require(DIGEST)) == refusal_pb2.REFUSAL_REASON_BLOB_DAMAGED
    assert refusal(lambda: store.require(DIGEST)) == refusal_pb2.REFUSAL_REASON_BLOB_MISSING
    assert files(store) == [f"damaged/{DIGEST}"]
    put(store, CONTENT)
    assert store.require(DIGEST).read_bytes() == CONTENT


def test_a_blob_that_is_not_there(store: BlobStore) -> None:
    assert refusal(lambda: store.require(DIGEST)) == refusal_pb2.REFUSAL_REASON_BLOB_MISSING


def test_two_writers_of_one_blob_don_t_meet(store: BlobStore) -> None:
    first = store.writer(DIGEST, size_bytes=SIZE)
    first.write(CONTENT[:1000])
    # The second is not told to go on in the first one's file.
    assert store.stat(DIGEST) == (False, 0)
    second = store.writer(DIGEST, size_bytes=SIZE)
    second.write(CONTENT)
    second.commit()
    assert store.require(DIGEST).read_bytes() == CONTENT
    first.write(CONTENT[1000:])
    first.commit()
    assert store.require(DIGEST).read_bytes() == CONTENT
    assert files(store) == [f"{DIGEST[:2]}/{DIGEST}"]


def test_a_second_writer_that_gives_up_leaves_nothing(store: BlobStore) -> None:
    with store.writer(DIGEST, size_bytes=SIZE) as first:
        first.write(CONTENT[:1000])
        with store.writer(DIGEST, size_bytes=SIZE) as second:
            second.write(CONTENT[:10])
        reason = refusal(lambda: store.writer(DIGEST, size_bytes=SIZE, offset_bytes=1000))
        assert reason == refusal_pb2.REFUSAL_REASON_BAD_REQUEST
        assert files(store) == [f"partial/{DIGEST}"]
    assert store.stat(DIGEST) == (False, 1000)


def test_many_writers_of_one_blob(store: BlobStore) -> None:
    barrier = threading.Barrier(8)
    failures: list[BaseException] = []

    def write() -> None:
        try:
            with store.writer(DIGEST, size_bytes=SIZE) as writer:
                barrier.wait()
                for start in range(0, SIZE, 65536):
                    writer.write(CONTENT[start : start + 65536])
                writer.commit()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.require(DIGEST).read_bytes() == CONTENT
    assert files(store) == [f"{DIGEST[:2]}/{DIGEST}"]


def test_what_second_writers_left_behind_is_cleaned(store: BlobStore) -> None:
    put_part(store, 1000)
    (store.root / "partial" / f"{DIGEST}.0123456789abcdef").write_bytes(b"left by a crash")
    store.clean()
    assert files(store) == [f"partial/{DIGEST}"]


def test_files_and_bytes_are_added_once(store: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    assert file_sha256(source) == DIGEST
    assert store.add_file(source) == DIGEST
    assert store.add_file(source) == DIGEST
    assert store.add_bytes(CONTENT) == DIGEST
    assert source.read_bytes() == CONTENT
    assert files(store) == [f"{DIGEST[:2]}/{DIGEST}"]
    empty = store.add_bytes(b"")
    assert store.require(empty).read_bytes() == b""


@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=6))
def test_however_it_is_cut_it_arrives(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, cuts: list[int]
) -> None:
    """Each cut is a connection that breaks; the next writer asks where to go on."""
    store = BlobStore(tmp_path_factory.mktemp("blobs"))
    name = digest(data)
    for cut in cuts:
        complete, here = store.stat(name)
        assert not complete
        with store.writer(name, size_bytes=len(data), offset_bytes=here) as writer:
            writer.write(data[here : max(here, cut)])
    _, here = store.stat(name)
    with store.writer(name, size_bytes=len(data), offset_bytes=here) as writer:
        writer.write(data[here:])
        writer.commit()
    assert store.require(name).read_bytes() == data
