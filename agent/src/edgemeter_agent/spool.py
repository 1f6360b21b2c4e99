"""What is to be reported: results, the ends of attempts and the blobs that they name, on disk until the
coordinator has acknowledged them.

An attempt is here from its start until its end is delivered, so that one that was cut short by a power
failure or a kill is still reported. Entries leave in the order in which they came.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from edgemeter_agent import durable
from edgemeter_agent.attempts import AttemptKey
from edgemeter_protos.v1 import fleet_pb2, result_pb2

_SCHEMA = """
create table if not exists attempt (
  job_id text not null,
  attempt integer not null,
  next_sequence integer not null default 1,
  ended integer not null default 0,
  primary key (job_id, attempt)
) without rowid;
create table if not exists entry (
  id integer primary key autoincrement,
  job_id text not null,
  attempt integer not null,
  request blob not null,
  foreign key (job_id, attempt) references attempt on delete cascade
);
create table if not exists entry_blob (
  entry_id integer not null references entry on delete cascade,
  digest text not null,
  primary key (entry_id, digest)
) without rowid;
"""

ResultFile = Literal["samples_digest", "outputs_digest", "trace_digest"]
"""Fields of Result that name a blob."""


@dataclass(frozen=True, kw_only=True)
class SpoolEntry:
    """One report and the files that must be put before it, by digest."""

    id: int
    request: fleet_pb2.ReportRequest
    blobs: Mapping[str, Path]

    @property
    def attempt(self) -> AttemptKey:
        return AttemptKey.of(self.request.attempt)


class Spool:
    """Safe to share between threads. Its methods raise OSError or sqlite3.Error where the disk fails them."""

    def __init__(self, root: Path) -> None:
        self._blobs = root / "blobs"
        self._blobs.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._database = sqlite3.connect(
            root / "spool.sqlite3", isolation_level=None, check_same_thread=False
        )
        for pragma in ("journal_mode = wal", "synchronous = full", "foreign_keys = on"):
            self._database.execute(f"pragma {pragma}").close()
        self._database.executescript(_SCHEMA)
        self._remove_unreferenced()

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def begin(self, attempt: AttemptKey) -> None:
        """Remembers that an attempt was started here."""
        with self._transaction() as database:
            database.execute(
                "insert or ignore into attempt (job_id, attempt) values (?, ?)",
                (attempt.job_id, attempt.attempt),
            )

    def add_result(
        self, attempt: AttemptKey, result: result_pb2.Result, files: Mapping[ResultFile, Path]
    ) -> bool:
        """Takes `files` over, names them in `result` by their digests, and stores it.

        False, and nothing is stored, where the attempt is not here or has ended.
        """
        with self._lock:
            if attempt not in self.unfinished():
                return False
            for field, path in files.items():
                setattr(result, field, self._adopt(path))
            blobs = {getattr(result, field) for field in files}
            self._append(attempt, fleet_pb2.ReportRequest(result=result), blobs)
        return True

    def add_end(self, attempt: AttemptKey, end: fleet_pb2.AttemptEnd) -> bool:
        """Stores the last report of an attempt. False where the attempt is not here or has ended."""
        with self._lock:
            if attempt not in self.unfinished():
                return False
            self._append(attempt, fleet_pb2.ReportRequest(end=end), ())
        return True

    def attempts(self) -> tuple[AttemptKey, ...]:
        """All that are here, in order."""
        return self._attempts("select job_id, attempt from attempt")

    def unfinished(self) -> tuple[AttemptKey, ...]:
        """Those without an end."""
        return self._attempts("select job_id, attempt from attempt where not ended")

    def first(self) -> SpoolEntry | None:
        """What is to be delivered next."""
        with self._lock:
            row = self._database.execute("select id, request from entry order by id limit 1").fetchone()
            if row is None:
                return None
            digests = self._database.execute("select digest from entry_blob where entry_id = ?", (row[0],))
            blobs = {digest: self._blobs / digest for (digest,) in digests.fetchall()}
        request = fleet_pb2.ReportRequest.FromString(row[1])
        return SpoolEntry(id=row[0], request=request, blobs=blobs)

    def delivered(self, entry: SpoolEntry) -> bool:
        """Forgets `entry`; True where it was the last of its attempt."""
        last = entry.request.WhichOneof("report") == "end"
        with self._lock:
            with self._transaction() as database:
                database.execute("delete from entry where id = ?", (entry.id,))
                if last:
                    self._delete_attempt(entry.attempt)
            self._remove_unreferenced(entry.blobs)
        return last

    def forget(self, attempt: AttemptKey) -> None:
        """Drops all there is of an attempt."""
        with self._lock:
            with self._transaction():
                self._delete_attempt(attempt)
            self._remove_unreferenced()

    def _append(self, attempt: AttemptKey, request: fleet_pb2.ReportRequest, digests: Iterable[str]) -> None:
        key = (attempt.job_id, attempt.attempt)
        with self._transaction() as database:
            (sequence,) = database.execute(
                "select next_sequence from attempt where job_id = ? and attempt = ?", key
            ).fetchone()
            database.execute(
                "update attempt set next_sequence = ?, ended = ? where job_id = ? and attempt = ?",
                (sequence + 1, request.HasField("end"), *key),
            )
            request.attempt.CopyFrom(attempt.ref)
            request.sequence = sequence
            entry_id = database.execute(
                "insert into entry (job_id, attempt, request) values (?, ?, ?)",
                (*key, request.SerializeToString()),
            ).lastrowid
            database.executemany(
                "insert or ignore into entry_blob (entry_id, digest) values (?, ?)",
                [(entry_id, digest) for digest in digests],
            )

    def _adopt(self, path: Path) -> str:
        """Moves a file in under its digest, synced: the row that names it may follow."""
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1024 * 1024):
                digest.update(block)
            os.fsync(file.fileno())
        name = digest.hexdigest()
        path.replace(self._blobs / name)
        durable.sync_folder(self._blobs)
        return name

    def _attempts(self, query: str) -> tuple[AttemptKey, ...]:
        with self._lock:
            rows = self._database.execute(f"{query} order by job_id, attempt").fetchall()
        return tuple(AttemptKey(*row) for row in rows)

    def _delete_attempt(self, attempt: AttemptKey) -> None:
        key = (attempt.job_id, attempt.attempt)
        self._database.execute("delete from attempt where job_id = ? and attempt = ?", key)

    def _remove_unreferenced(self, among: Iterable[str] | None = None) -> None:
        names = [path.name for path in self._blobs.iterdir()] if among is None else list(among)
        rows = self._database.execute("select distinct digest from entry_blob").fetchall()
        wanted = {digest for (digest,) in rows}
        for name in names:
            if name not in wanted:
                (self._blobs / name).unlink(missing_ok=True)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._database.execute("begin immediate")
            try:
                yield self._database
            except BaseException:
                self._database.execute("rollback")
                raise
            self._database.execute("commit")


def pending_attempts(root: Path) -> tuple[AttemptKey, ...]:
    """What the spool in `root` holds, without disturbing the agent that uses it. Raises sqlite3.Error."""
    path = root / "spool.sqlite3"
    if not path.exists():
        return ()
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
        rows = database.execute("select job_id, attempt from attempt order by job_id, attempt").fetchall()
    return tuple(AttemptKey(*row) for row in rows)
