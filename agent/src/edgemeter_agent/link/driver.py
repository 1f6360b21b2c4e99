"""Carries out what the core decides; decides nothing."""

from __future__ import annotations

import logging
import queue
import random
import shutil
import sqlite3
import time
from collections.abc import Sequence

import grpc

from edgemeter_agent import engine_process, resident
from edgemeter_agent.attempts import AttemptKey
from edgemeter_agent.blob_cache import BlobCache
from edgemeter_agent.board.guard import restore_left_over
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.failure import describe
from edgemeter_agent.identity import Identity
from edgemeter_agent.link import core
from edgemeter_agent.link.connection import CALL_TIMEOUT_S, Connection
from edgemeter_agent.link.effects import (
    Attached,
    Claim,
    CloseStream,
    Detached,
    Effect,
    ForgetReports,
    KillAttempt,
    Note,
    OpenStream,
    Rest,
    SendHeartbeat,
    StartAttempt,
    Stop,
)
from edgemeter_agent.link.events import (
    AttemptEnded,
    ClaimAnswered,
    ClaimFailed,
    Event,
    LeaseLost,
    ReportsDelivered,
    StopRequested,
    Tick,
)
from edgemeter_agent.link.fetching import Fetcher
from edgemeter_agent.link.leases import LeaseKeeper
from edgemeter_agent.link.state import LinkState
from edgemeter_agent.link.stream import AttachStream
from edgemeter_agent.link.uploader import Uploader
from edgemeter_agent.spool import Spool
from edgemeter_agent.state_dir import StateDir
from edgemeter_agent.worker import AttemptWorker
from edgemeter_protos import PROTOCOL_VERSION, plans
from edgemeter_protos.v1 import device_pb2, fleet_pb2

CAPABILITIES = tuple(plans.SCENARIOS)
"""Scenarios that this agent's engine can run."""

KILL_PATIENCE_S = 3.0
DYING_PATIENCE_S = 3.0
FLUSH_PATIENCE_S = 2.0
GOODBYE_PATIENCE_S = 0.5

log = logging.getLogger(__name__)


class Link:
    """The agent at work. The caller holds the lock of `state_dir`."""

    def __init__(
        self,
        *,
        identity: Identity,
        state_dir: StateDir,
        facts: device_pb2.DeviceFacts,
        engine_command: Sequence[str],
        allow_exec_meters: bool = False,
        board: BoardRoot | None = None,
    ) -> None:
        self._allow_exec_meters = allow_exec_meters
        self._state_dir = state_dir
        self._board = board or BoardRoot()
        self._facts = facts
        self._engine_command = engine_command
        # A SimpleQueue, because a signal handler may post while the loop is inside get().
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._recover_engine()
        self._cache = BlobCache(state_dir.cache_dir)
        self._spool = Spool(state_dir.spool_dir)
        self._recover_spool()
        self._state = LinkState(unreported=frozenset(self._spool.attempts()), wake_at_ns=time.monotonic_ns())
        self._connection = Connection(identity)
        self._leases = LeaseKeeper(
            self._connection.fleet,
            lambda attempt, reason: self.post(LeaseLost(attempt=attempt, reason=reason)),
        )
        self._uploader = Uploader(
            self._connection, self._spool, lambda attempt: self.post(ReportsDelivered(attempt=attempt))
        )
        self._stream: AttachStream | None = None
        self._worker: AttemptWorker | None = None
        self._exit_code: int | None = None

    def post(self, event: Event) -> None:
        """Callable from any thread, and from a signal handler."""
        self._events.put(event)

    def stop(self, detail: str) -> None:
        """Asks the running agent to end: it kills its engine, reports that, and returns from `run`."""
        self.post(StopRequested(detail=detail))

    def run(self) -> int:
        """Works until it is stopped; its exit code."""
        try:
            while self._exit_code is None:
                self._step(self._next_event())
            self._wind_up()
        finally:
            self._close()
        return self._exit_code

    def _next_event(self) -> Event:
        deadline_ns = core.deadline_ns(self._state)
        timeout_s = None if deadline_ns is None else max(0.0, (deadline_ns - time.monotonic_ns()) / 1e9)
        try:
            return self._events.get(timeout=timeout_s)
        except queue.Empty:
            return Tick()

    def _step(self, event: Event) -> None:
        self._state, effects = core.step(
            self._state,
            event,
            now_ns=time.monotonic_ns(),
            chance=random.random(),  # noqa: S311
        )
        self._leases.hold(core.held(self._state))
        if isinstance(event, AttemptEnded):
            self._uploader.wake()
        for effect in effects:
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:  # noqa: C901 (one line an effect)
        match effect:
            case OpenStream():
                self._open_stream(effect)
            case CloseStream():
                if self._stream is not None:
                    self._stream.close()
                    self._stream = None
            case Attached():
                self._uploader.set_attached(True)
            case Detached():
                self._uploader.set_attached(False)
            case SendHeartbeat():
                if self._stream is not None:
                    self._stream.send_heartbeat(effect.sequence)
            case Claim():
                self._claim(effect.epoch)
            case StartAttempt():
                self._start_attempt(effect.assignment)
            case KillAttempt():
                log.info("%s: killed: %s", effect.attempt, effect.reason)
                if self._worker is not None:
                    self._worker.kill(effect)
            case ForgetReports():
                log.info("%s: reports dropped: %s", effect.attempt, effect.reason)
                self._forget_reports(effect.attempt)
            case Note():
                log.log(effect.level, "%s", effect.text)
            case Rest():
                resident.release_code()
            case Stop():
                self._exit_code = effect.exit_code

    def _forget_reports(self, attempt: AttemptKey) -> None:
        try:
            self._spool.forget(attempt)
        except (OSError, sqlite3.Error) as error:
            # They are delivered then; the coordinator refuses them, and they are dropped for that.
            log.error("%s: the spool: %s", attempt, error)
        else:
            self.post(ReportsDelivered(attempt=attempt))

    def _open_stream(self, effect: OpenStream) -> None:
        hello = fleet_pb2.Hello(
            protocol_version=PROTOCOL_VERSION,
            agent_version=self._facts.agent_version,
            capabilities=CAPABILITIES,
            facts=self._facts,
            held=[attempt.ref for attempt in effect.held],
        )
        self._stream = AttachStream(self._connection, effect.session, hello, self.post)

    def _claim(self, epoch: int) -> None:
        def answered(call: grpc.Future[fleet_pb2.ClaimResponse]) -> None:
            try:
                response = call.result()
            except grpc.RpcError as error:
                self.post(ClaimFailed(detail=describe(error)))
            except grpc.FutureCancelledError:
                self.post(ClaimFailed(detail="the connection was closed"))
            else:
                found = response.assignment if response.HasField("assignment") else None
                self.post(ClaimAnswered(assignment=found))

        request = fleet_pb2.ClaimRequest(epoch=epoch)
        self._connection.fleet.Claim.future(request, timeout=CALL_TIMEOUT_S).add_done_callback(answered)

    def _start_attempt(self, assignment: fleet_pb2.Assignment) -> None:
        self._worker = AttemptWorker(
            assignment,
            fetcher=Fetcher(self._cache, self._connection.blobs),
            spool=self._spool,
            state_dir=self._state_dir,
            engine_command=self._engine_command,
            allow_exec_meters=self._allow_exec_meters,
            progress=self._send_progress,
            spooled=self._uploader.wake,
            ended=lambda attempt, spooled: self.post(AttemptEnded(attempt=attempt, spooled=spooled)),
            board=self._board,
        )
        self._worker.start()

    def _send_progress(self, progress: fleet_pb2.Progress) -> None:
        stream = self._stream
        if stream is not None:
            stream.send_progress(progress)

    def _recover_engine(self) -> None:
        survived = engine_process.kill_survivor(self._state_dir.engine_path)
        if survived:
            log.warning("killed the benchmark engine that an earlier agent left")
        # It is killed, and not yet gone: until then the settings count as its own.
        if restore_left_over(self._board, DYING_PATIENCE_S if survived else 0.0):
            log.warning("put back the settings that an earlier agent had changed for measuring")
        shutil.rmtree(self._state_dir.work_dir, ignore_errors=True)

    def _recover_spool(self) -> None:
        for attempt in self._spool.unfinished():
            log.warning("%s: the agent was restarted while measuring", attempt)
            self._spool.add_end(attempt, restarted())

    def _wind_up(self) -> None:
        if self._worker is not None and not self._worker.join(KILL_PATIENCE_S):
            log.error("%s: its engine does not end", self._worker.attempt)
        if not self._uploader.flush(FLUSH_PATIENCE_S):
            log.info("what could not be reported stays in the spool: %s", _list(self._spool.attempts()))

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close(GOODBYE_PATIENCE_S)
        self._leases.close()
        self._uploader.close()
        self._connection.close()
        self._uploader.join(GOODBYE_PATIENCE_S)
        self._spool.close()


def restarted() -> fleet_pb2.AttemptEnd:
    """The end of an attempt whose agent was killed: its engine went with it, the job may run again."""
    return fleet_pb2.AttemptEnd(
        outcome=fleet_pb2.ATTEMPT_OUTCOME_DEVICE_FAILED, detail="the agent was restarted while measuring"
    )


def _list(attempts: Sequence[AttemptKey]) -> str:
    return ", ".join(map(str, attempts))
