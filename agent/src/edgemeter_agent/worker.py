"""Works off one attempt: fetches its blobs, runs the engine, spools what comes of it."""

from __future__ import annotations

import logging
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgemeter_agent.assignment import compressed_blobs, engine_job, wanted_blobs
from edgemeter_agent.attempts import AttemptKey
from edgemeter_agent.board.guard import restore_left_over
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.engine_process import EngineProcess
from edgemeter_agent.link.effects import KillAttempt
from edgemeter_agent.link.fetching import Fetcher, FetchError, FetchStoppedError
from edgemeter_agent.spool import ResultFile, Spool
from edgemeter_agent.state_dir import StateDir
from edgemeter_protos.v1 import engine_pb2, fleet_pb2

PROGRESS_INTERVAL_S = 0.25

log = logging.getLogger(__name__)

LINGER_S = 5.0
"""What an engine may take to end after its last word."""

Outcome = fleet_pb2.AttemptOutcome


@dataclass(frozen=True, kw_only=True)
class EngineEnd:
    """How an engine came to its end."""

    # Its last event; None where it gave neither.
    last: engine_pb2.EngineDone | engine_pb2.EngineFailure | None
    exit_code: int
    last_words: str
    deadline_s: float
    overran: bool


def judge_end(end: EngineEnd) -> fleet_pb2.AttemptEnd:
    """What an engine's end means for the attempt."""
    if isinstance(end.last, engine_pb2.EngineDone):
        return fleet_pb2.AttemptEnd(outcome=Outcome.ATTEMPT_OUTCOME_COMPLETED)
    if isinstance(end.last, engine_pb2.EngineFailure):
        failed = end.last.device_failed
        outcome = Outcome.ATTEMPT_OUTCOME_DEVICE_FAILED if failed else Outcome.ATTEMPT_OUTCOME_JOB_FAILED
        return fleet_pb2.AttemptEnd(outcome=outcome, detail=end.last.detail)
    if end.overran:
        detail = f"ran longer than the plan's deadline of {end.deadline_s:g} s"
        return fleet_pb2.AttemptEnd(outcome=Outcome.ATTEMPT_OUTCOME_JOB_FAILED, detail=detail)
    how = f"exit code {end.exit_code}"
    if end.exit_code < 0:
        how = f"signal {-end.exit_code} ({signal.strsignal(-end.exit_code) or 'unknown'})"
    if end.exit_code == -signal.SIGKILL:
        how += ", as the system does when memory runs out"
    detail = f"the benchmark engine ended with {how}"
    return fleet_pb2.AttemptEnd(
        outcome=Outcome.ATTEMPT_OUTCOME_DEVICE_FAILED,
        detail=f"{detail}: {end.last_words}" if end.last_words else detail,
    )


def judge_kill(kill: KillAttempt) -> fleet_pb2.AttemptEnd:
    """What a kill means for an attempt that is not to be forgotten."""
    failed = kill.device_failed
    outcome = Outcome.ATTEMPT_OUTCOME_DEVICE_FAILED if failed else Outcome.ATTEMPT_OUTCOME_CANCELLED
    return fleet_pb2.AttemptEnd(outcome=outcome, detail=kill.reason)


class AttemptWorker:
    """One attempt in a thread of its own.

    `spooled()` is called after each result, `ended(attempt, spooled)` exactly once, at the end.
    """

    def __init__(
        self,
        assignment: fleet_pb2.Assignment,
        *,
        fetcher: Fetcher,
        spool: Spool,
        state_dir: StateDir,
        engine_command: Sequence[str],
        allow_exec_meters: bool = False,
        progress: Callable[[fleet_pb2.Progress], None],
        spooled: Callable[[], None],
        ended: Callable[[AttemptKey, bool], None],
        board: BoardRoot | None = None,
    ) -> None:
        self.attempt = AttemptKey.of(assignment.attempt)
        self._assignment = assignment
        self._fetcher = fetcher
        self._spool = spool
        self._state_dir = state_dir
        self._engine_command = engine_command
        self._allow_exec_meters = allow_exec_meters
        self._progress = progress
        self._spooled = spooled
        self._ended = ended
        self._board = board or BoardRoot()
        self._progressed_at = 0.0
        self._lock = threading.Lock()
        self._kill: KillAttempt | None = None
        self._overran = False
        self._engine: EngineProcess | None = None
        self._thread = threading.Thread(target=self._run, name=f"attempt-{self.attempt.attempt}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """True where the attempt has ended within `timeout_s`."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def kill(self, kill: KillAttempt) -> None:
        """Ends the attempt's processes. Returns at once; one kill that forgets outdoes those that don't."""
        with self._lock:
            if self._kill is None or (kill.forget and not self._kill.forget):
                self._kill = kill
            engine = self._engine
        self._fetcher.stop()
        if engine is not None:
            engine.kill()

    def _run(self) -> None:
        spooled = False
        try:
            self._spool.begin(self.attempt)
            end = self._measure()
            kill = self._kill
            completed = end.outcome == Outcome.ATTEMPT_OUTCOME_COMPLETED
            if kill is not None and kill.forget:
                self._spool.forget(self.attempt)
                log.info("%s: dropped: %s", self.attempt, kill.reason)
            else:
                if kill is not None and not (completed and kill.device_failed):
                    end = judge_kill(kill)
                spooled = self._spool.add_end(self.attempt, end)
                log.info("%s: %s %s", self.attempt, _outcome_name(end), end.detail)
        except (OSError, sqlite3.Error) as error:
            # Nothing can be written, not even the end: the lease runs out and the job goes back.
            log.error("%s: its end could not be stored: %s", self.attempt, error)
        finally:
            self._ended(self.attempt, spooled)

    def _measure(self) -> fleet_pb2.AttemptEnd:
        work_dir = None
        try:
            self._state_dir.work_dir.mkdir(exist_ok=True)
            work_dir = Path(tempfile.mkdtemp(dir=self._state_dir.work_dir))
            files = self._fetcher.fetch_all(
                wanted_blobs(self._assignment), self._tell, compressed=compressed_blobs(self._assignment)
            )
            job = engine_job(
                self._assignment,
                files,
                work_dir,
                calibrations_dir=self._state_dir.calibrations_dir,
                allow_exec_meters=self._allow_exec_meters,
            )
            return self._run_engine(job, work_dir)
        except FetchStoppedError:
            return fleet_pb2.AttemptEnd(
                outcome=Outcome.ATTEMPT_OUTCOME_CANCELLED, detail="stopped while fetching"
            )
        except FetchError as error:
            return fleet_pb2.AttemptEnd(outcome=error.outcome, detail=str(error))
        except (OSError, sqlite3.Error) as error:
            return self._device_failed(f"the board could not go on: {error}")
        except Exception as error:
            # Whatever it was, the board must be free for the next job and the coordinator must hear of it.
            log.exception("%s", self.attempt)
            return self._device_failed(f"the agent failed: {error!r}")
        finally:
            if work_dir is not None:
                shutil.rmtree(work_dir, ignore_errors=True)

    def _device_failed(self, detail: str) -> fleet_pb2.AttemptEnd:
        return fleet_pb2.AttemptEnd(outcome=Outcome.ATTEMPT_OUTCOME_DEVICE_FAILED, detail=detail)

    def _run_engine(self, job: engine_pb2.EngineJob, work_dir: Path) -> fleet_pb2.AttemptEnd:
        engine = EngineProcess(
            self._engine_command,
            job,
            log_path=work_dir / "engine.log",
            record_path=self._state_dir.engine_path,
        )
        with self._lock:
            self._engine = engine
            killed = self._kill is not None
        if killed:
            engine.kill()
        deadline_s = job.plan.deadline_ns / 1e9
        timers = [_timer(deadline_s, lambda: self._overrun(engine))] if deadline_s else []
        last: engine_pb2.EngineDone | engine_pb2.EngineFailure | None = None
        try:
            for event in engine.events():
                last = self._take(event) or last
                if last is not None:
                    engine.close_stdin()
                    timers.append(_timer(LINGER_S, engine.kill))
        except BaseException:
            engine.kill()
            raise
        finally:
            exit_code = engine.wait()
            # One that was killed could not; the board must not run hot until its next job.
            restore_left_over(self._board)
            for timer in timers:
                timer.cancel()
        return judge_end(
            EngineEnd(
                last=last,
                exit_code=exit_code,
                last_words=engine.last_words(),
                deadline_s=deadline_s,
                overran=self._overran,
            )
        )

    def _overrun(self, engine: EngineProcess) -> None:
        self._overran = True
        engine.kill()

    def _take(self, event: engine_pb2.EngineEvent) -> engine_pb2.EngineDone | engine_pb2.EngineFailure | None:
        match event.WhichOneof("event"):
            case "progress":
                self._tell(event.progress.fraction, event.progress.phase)
            case "result":
                self._spool_result(event.result)
            case "done":
                return event.done
            case "failure":
                return event.failure
        return None

    def _spool_result(self, told: engine_pb2.EngineResult) -> None:
        result = told.result
        result.id = result.id or uuid.uuid4().hex
        if not result.HasField("plan"):
            result.plan.CopyFrom(self._assignment.plan)
        files: dict[ResultFile, Path] = {}
        if told.samples_path:
            files["samples_digest"] = Path(told.samples_path)
        if told.outputs_path:
            files["outputs_digest"] = Path(told.outputs_path)
        if told.trace_path:
            files["trace_digest"] = Path(told.trace_path)
        self._spool.add_result(self.attempt, result, files)
        self._spooled()
        log.info("%s: result of variant %s", self.attempt, told.result.variant_id)

    def _tell(self, fraction: float, phase: str) -> None:
        now = time.monotonic()
        if now - self._progressed_at >= PROGRESS_INTERVAL_S:
            self._progressed_at = now
            self._progress(fleet_pb2.Progress(attempt=self.attempt.ref, fraction=fraction, phase=phase))


def _timer(delay_s: float, action: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(min(delay_s, threading.TIMEOUT_MAX), action)
    timer.daemon = True
    timer.start()
    return timer


def _outcome_name(end: fleet_pb2.AttemptEnd) -> str:
    return Outcome.Name(end.outcome).removeprefix("ATTEMPT_OUTCOME_").lower().replace("_", " ")
