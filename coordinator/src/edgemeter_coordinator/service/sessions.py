"""The boards that are attached now, and what they say of the jobs that they run.

Nothing here is truth: it is lost at a restart and made anew as boards attach. Used from the event loop
only.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edgemeter_coordinator.service.changes import Changes
from edgemeter_protos.v1 import fleet_pb2

MAX_WAITING_MESSAGES = 64
"""A board that does not read its stream is let go when this many messages wait for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far an attempt is, as its board last said."""

    attempt: int
    fraction: float
    phase: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    device_id: str
    study_id: str
    attempt: int


class Session:
    """One Attach stream. Messages are put here; the stream's handler sends them."""

    __slots__ = ("_outbound", "_wake", "closing", "device_id", "epoch", "heard_at_s")

    def __init__(self, device_id: str, epoch: int) -> None:
        self.device_id = device_id
        self.epoch = epoch
        self.heard_at_s = time.monotonic()
        self.closing = False
        self._outbound: deque[fleet_pb2.AttachResponse] = deque()
        self._wake = asyncio.Event()

    def heard(self) -> None:
        """The board said something."""
        self.heard_at_s = time.monotonic()

    def send(self, message: fleet_pb2.AttachResponse) -> None:
        """Queues a message for the board; nothing more goes out once the session is closing."""
        if self.closing:
            return
        if len(self._outbound) >= MAX_WAITING_MESSAGES:
            self.end()
            return
        self._outbound.append(message)
        self._wake.set()

    def close(self, reason: fleet_pb2.GoodbyeReason.ValueType, detail: str) -> None:
        """Says goodbye; the stream ends when that is sent."""
        self.send(fleet_pb2.AttachResponse(goodbye=fleet_pb2.Goodbye(reason=reason, detail=detail)))
        self.end()

    def end(self) -> None:
        """Ends the stream when what waits has been sent."""
        self.closing = True
        self._wake.set()

    async def next(self) -> fleet_pb2.AttachResponse | None:
        """The next message for the board; None when the stream is to end."""
        while not self._outbound:
            if self.closing:
                return None
            self._wake.clear()
            await self._wake.wait()
        return self._outbound.popleft()


class Sessions:
    """Attached boards by id, and their running attempts."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._sessions: dict[str, Session] = {}
        self._runs: dict[str, _Run] = {}
        self._progress: dict[str, Progress] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def add(self, session: Session) -> None:
        """Makes `session` its board's session; of two, the one with the lower epoch is closed."""
        current = self._sessions.get(session.device_id)
        if current is not None and current.epoch > session.epoch:
            _supersede(session)
            return
        if current is not None:
            _supersede(current)
        self._sessions[session.device_id] = session
        self._changes.notify_all()

    def remove(self, session: Session) -> None:
        """Forgets a session that has ended."""
        if self._sessions.get(session.device_id) is session:
            del self._sessions[session.device_id]
            self._changes.notify_all()

    def attached(self, device_id: str) -> bool:
        """Whether the board is attached."""
        return device_id in self._sessions

    def nudge(self, device_ids: Iterable[str]) -> None:
        """Tells these boards that there may be a job to claim; those not attached ask when they come."""
        for device_id in device_ids:
            if session := self._sessions.get(device_id):
                session.send(fleet_pb2.AttachResponse(nudge=fleet_pb2.Nudge()))

    def cancel(self, device_id: str, attempt: fleet_pb2.AttemptRef, reason: str) -> None:
        """Tells a board to kill and forget an attempt; one not attached learns it when it renews."""
        self.stopped(attempt.job_id)
        if session := self._sessions.get(device_id):
            message = fleet_pb2.CancelAttempt(attempt=attempt, reason=reason)
            session.send(fleet_pb2.AttachResponse(cancel=message))

    def started(self, job_id: str, *, study_id: str, device_id: str, attempt: int) -> None:
        """A board runs this attempt: progress of it may be shown."""
        self._runs[job_id] = _Run(device_id=device_id, study_id=study_id, attempt=attempt)
        self._progress.pop(job_id, None)

    def stopped(self, job_id: str) -> None:
        """No board runs this job any more."""
        self._runs.pop(job_id, None)
        self._progress.pop(job_id, None)

    def note_progress(self, device_id: str, progress: fleet_pb2.Progress) -> None:
        """Keeps what a board says of an attempt, if it runs it."""
        run = self._runs.get(progress.attempt.job_id)
        if run is None or (run.device_id, run.attempt) != (device_id, progress.attempt.attempt):
            return
        self._progress[progress.attempt.job_id] = Progress(
            attempt=run.attempt,
            fraction=min(max(progress.fraction, 0.0), 1.0),
            phase=progress.phase[:200],
        )
        self._changes.notify(run.study_id)

    def progress(self, job_id: str) -> Progress | None:
        """What was last said of the job's running attempt."""
        return self._progress.get(job_id)

    def close_silent(self, longest_silence_s: float) -> list[Session]:
        """Closes the sessions of boards that have said nothing for so long; which they are."""
        now = time.monotonic()
        silent = [
            session for session in self._sessions.values() if now - session.heard_at_s > longest_silence_s
        ]
        for session in silent:
            session.close(fleet_pb2.GOODBYE_REASON_SILENT, f"nothing was heard for {longest_silence_s:g} s")
            self.remove(session)
        return silent

    def close_all(self, reason: fleet_pb2.GoodbyeReason.ValueType, detail: str) -> None:
        """Says goodbye to every board."""
        for session in list(self._sessions.values()):
            session.close(reason, detail)

    def silence_ms(self) -> Mapping[str, int]:
        """Board id -> milliseconds since it was last heard, of those attached."""
        now = time.monotonic()
        return {
            device_id: int((now - session.heard_at_s) * 1000) for device_id, session in self._sessions.items()
        }


def _supersede(session: Session) -> None:
    session.close(
        fleet_pb2.GOODBYE_REASON_SUPERSEDED, "a newer session of this board attached; this one is over"
    )
