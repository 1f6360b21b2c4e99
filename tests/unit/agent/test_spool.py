from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edgemeter_agent.attempts import AttemptKey
from edgemeter_agent.spool import Spool, SpoolEntry, pending_attempts
from edgemeter_protos.v1 import fleet_pb2, result_pb2

A, B = AttemptKey("a", 1), AttemptKey("b", 4)
END = fleet_pb2.AttemptEnd(outcome=fleet_pb2.ATTEMPT_OUTCOME_COMPLETED)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool")
    yield spool
    spool.close()


def first_of(spool: Spool) -> SpoolEntry:
    entry = spool.first()
    assert entry is not None
    return entry


def made(folder: Path, content: bytes) -> Path:
    path = folder / f"made-{len(list(folder.iterdir()))}"
    path.write_bytes(content)
    return path


def files(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "spool" / "blobs").iterdir()}


def test_reports_leave_in_order_with_their_files(spool: Spool, tmp_path: Path) -> None:
    spool.begin(A)
    samples, outputs = made(tmp_path, b"samples"), made(tmp_path, b"outputs")
    result = result_pb2.Result(id="r1", variant_id="v1")
    assert spool.add_result(A, result, {"samples_digest": samples, "outputs_digest": outputs})
    assert spool.add_end(A, END)

    entry = first_of(spool)
    assert entry.attempt == A
    assert entry.request.sequence == 1
    assert entry.request.result.samples_digest == hashlib.sha256(b"samples").hexdigest()
    assert entry.request.result.outputs_digest == hashlib.sha256(b"outputs").hexdigest()
    assert {path.read_bytes() for path in entry.blobs.values()} == {b"samples", b"outputs"}
    assert not samples.exists()

    assert spool.delivered(entry) is False
    assert files(tmp_path) == set()
    entry = first_of(spool)
    assert (entry.request.sequence, entry.request.end) == (2, END)
    assert spool.delivered(entry) is True
    assert spool.first() is None
    assert spool.attempts() == ()


def test_a_file_that_two_results_name_stays_for_the_second(spool: Spool, tmp_path: Path) -> None:
    spool.begin(A)
    for number in ("1", "2"):
        result = result_pb2.Result(id=number)
        spool.add_result(A, result, {"samples_digest": made(tmp_path, b"same")})
    spool.delivered(first_of(spool))
    assert next(iter(first_of(spool).blobs.values())).read_bytes() == b"same"
    spool.delivered(first_of(spool))
    assert files(tmp_path) == set()


def test_an_attempt_is_held_from_its_start(spool: Spool) -> None:
    spool.begin(B)
    spool.begin(A)
    assert spool.attempts() == spool.unfinished() == (A, B)
    spool.add_end(A, END)
    assert (spool.attempts(), spool.unfinished()) == ((A, B), (B,))


def test_nothing_follows_an_end(spool: Spool) -> None:
    spool.begin(A)
    assert spool.add_end(A, END)
    assert not spool.add_end(A, END)
    assert not spool.add_result(A, result_pb2.Result(), {})


def test_what_was_forgotten_takes_no_more(spool: Spool, tmp_path: Path) -> None:
    spool.begin(A)
    spool.begin(B)
    spool.add_result(A, result_pb2.Result(), {"samples_digest": made(tmp_path, b"x")})
    spool.add_end(B, END)
    spool.forget(A)
    assert files(tmp_path) == set()
    assert not spool.add_end(A, END)
    assert spool.attempts() == (B,)
    assert first_of(spool).attempt == B


def test_sequence_numbers_go_on_after_a_delivery_and_a_restart(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.begin(A)
    spool.add_result(A, result_pb2.Result(id="1"), {})
    spool.delivered(first_of(spool))
    spool.close()
    spool = Spool(tmp_path / "spool")
    spool.add_end(A, END)
    assert first_of(spool).request.sequence == 2
    assert pending_attempts(tmp_path / "spool") == (A,)
    spool.close()


def test_files_that_no_report_names_are_removed_at_the_start(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "spool" / "blobs" / "orphan").write_bytes(b"adopted, and then the power went")
    Spool(tmp_path / "spool").close()
    assert files(tmp_path) == set()


def test_there_is_nothing_pending_where_there_is_no_spool(tmp_path: Path) -> None:
    assert pending_attempts(tmp_path) == ()


WRITER = """
import os, sys
from pathlib import Path
from edgemeter_agent.attempts import AttemptKey
from edgemeter_agent.spool import Spool
from edgemeter_protos.v1 import result_pb2
root = Path(sys.argv[1])
spool = Spool(root / "spool")
attempt = AttemptKey("job", 1)
spool.begin(attempt)
for number in range(100000):
    path = root / "made"
    path.write_bytes(str(number).encode())
    spool.add_result(attempt, result_pb2.Result(id=str(number)), {"samples_digest": path})
    print(number, flush=True)
"""


@pytest.mark.parametrize("after", [1, 4, 13])
def test_what_was_stored_survives_a_kill(tmp_path: Path, after: int) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(after)]
        os.kill(writer.pid, signal.SIGKILL)
        told += [int(line) for line in writer.stdout if line.endswith("\n")]
    spool = Spool(tmp_path / "spool")
    found: list[int] = []
    while (entry := spool.first()) is not None:
        assert entry.request.sequence == len(found) + 1
        (path,) = entry.blobs.values()
        assert path.read_text() == entry.request.result.id
        found.append(int(entry.request.result.id))
        spool.delivered(entry)
    # One more may have been stored than it lived to tell of.
    assert found[: len(told)] == told
    assert len(found) <= len(told) + 1
    assert files(tmp_path) == set()
    spool.close()


class Reports(RuleBasedStateMachine):
    """The spool against a list, over restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        self.spool = Spool(self.root)
        self.entries: list[tuple[AttemptKey, int, bytes | None]] = []
        self.sequence: dict[AttemptKey, int] = {}
        self.ended: set[AttemptKey] = set()

    attempts = st.sampled_from([A, B, AttemptKey("a", 2)])

    @rule(attempt=attempts)
    def begin(self, attempt: AttemptKey) -> None:
        self.spool.begin(attempt)
        self.sequence.setdefault(attempt, 1)

    @rule(attempt=attempts, content=st.sampled_from([b"x", b"y"]))
    def result(self, attempt: AttemptKey, content: bytes) -> None:
        path = self.root / "made"
        path.write_bytes(content)
        wanted = attempt in self.sequence and attempt not in self.ended
        assert self.spool.add_result(attempt, result_pb2.Result(), {"samples_digest": path}) == wanted
        if wanted:
            self.entries.append((attempt, self.sequence[attempt], content))
            self.sequence[attempt] += 1

    @rule(attempt=attempts)
    def end(self, attempt: AttemptKey) -> None:
        wanted = attempt in self.sequence and attempt not in self.ended
        assert self.spool.add_end(attempt, END) == wanted
        if wanted:
            self.entries.append((attempt, self.sequence[attempt], None))
            self.ended.add(attempt)

    @precondition(lambda self: self.entries)
    @rule()
    def deliver(self) -> None:
        attempt, sequence, content = self.entries.pop(0)
        entry = first_of(self.spool)
        assert (entry.attempt, entry.request.sequence) == (attempt, sequence)
        assert [path.read_bytes() for path in entry.blobs.values()] == ([content] if content else [])
        assert self.spool.delivered(entry) == (content is None)
        if content is None:
            self.drop(attempt)

    @rule(attempt=attempts)
    def forget(self, attempt: AttemptKey) -> None:
        self.spool.forget(attempt)
        self.entries = [entry for entry in self.entries if entry[0] != attempt]
        self.drop(attempt)

    def drop(self, attempt: AttemptKey) -> None:
        self.sequence.pop(attempt, None)
        self.ended.discard(attempt)

    @rule()
    def restart(self) -> None:
        self.spool.close()
        self.spool = Spool(self.root)

    @invariant()
    def held(self) -> None:
        assert self.spool.attempts() == tuple(sorted(self.sequence))
        wanted = {hashlib.sha256(content).hexdigest() for _, _, content in self.entries if content}
        assert {path.name for path in (self.root / "blobs").iterdir()} == wanted

    def teardown(self) -> None:
        self.spool.close()
        self.folder.cleanup()


Reports.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestReports = Reports.TestCase
