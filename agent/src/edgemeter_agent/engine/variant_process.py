"""The engine's end of a variant process."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.engine.pipes import read_message, write_message
from edgemeter_agent.interpreter import module_command
from edgemeter_protos.v1 import engine_pb2, result_pb2

EXIT_TIMEOUT_S = 5
EXIT_PATIENCE_S = 60
"""For an answer that is no work, from a process that may have been swapped out."""
STDERR_TAIL_BYTES = 2000

CRASHED = "crashed"
HUNG = "hung"


class VariantError(Exception):
    """Why a variant can't be measured any further: a reason's code, and a line for the user."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class DeadlineError(Exception):
    """The job has run for as long as its plan allows."""


class VariantProcess:
    """A process for one variant, ended with the `with` block."""

    def __init__(self, board: BoardRoot, deadline_ns: int) -> None:
        """`deadline_ns` is a time of CLOCK_MONOTONIC: no answer is waited for beyond it."""
        self._deadline_ns = deadline_ns
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        command = module_command("edgemeter_agent.engine.child")
        self._process = subprocess.Popen(
            [*command, "--root", str(board.root), "--parent", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            # numpy's own threads would only take memory.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def load(self, request: engine_pb2.ChildLoad) -> engine_pb2.ChildLoaded:
        return self._ask("load_failed", load=request).loaded

    def golden(self, request: engine_pb2.ChildGolden) -> engine_pb2.ChildGoldenChecked:
        return self._ask("golden_failed", golden=request).golden

    def block(
        self, request: engine_pb2.ChildBlock, patience_s: float = math.inf
    ) -> engine_pb2.ChildBlockDone:
        """A process that has not answered after `patience_s` is killed, and its variant has "hung"."""
        return self._ask("query_failed", patience_s, block=request).block

    def window(
        self, request: engine_pb2.ChildWindow, patience_s: float = math.inf
    ) -> engine_pb2.ChildWindowDone:
        """As `block`."""
        return self._ask("query_failed", patience_s, window=request).window

    def profile(
        self, request: engine_pb2.ChildProfile, patience_s: float = math.inf
    ) -> result_pb2.OperatorProfile:
        """The process can only be ended after it: its model is gone."""
        return self._ask("profile_failed", patience_s, profile=request).profile

    def evaluate(self, request: engine_pb2.ChildEvaluate) -> engine_pb2.ChildEvaluated:
        return self._ask("evaluation_failed", evaluate=request).evaluated

    def exit(self) -> int:
        """Peak resident set of the process, in bytes."""
        peak = self._ask("exit_failed", EXIT_PATIENCE_S, exit=engine_pb2.ChildExit()).exiting.peak_rss_bytes
        self.end()
        return peak

    def _ask(self, code: str, patience_s: float = math.inf, **request: Any) -> engine_pb2.ChildReply:
        """Raises VariantError with `code` where the process answers with an error, with "crashed" where it
        ends instead and with "hung" where it takes longer than `patience_s`, and DeadlineError."""
        left_s = max((self._deadline_ns - time.monotonic_ns()) / 1e9, 0.0)
        reply, rubbish = None, ""
        with self._killed_after(min(left_s, patience_s)) as overdue:
            try:
                write_message(self._stdin, engine_pb2.ChildRequest(**request))
                reply = read_message(self._stdout, engine_pb2.ChildReply)
            except (BrokenPipeError, ConnectionResetError):
                pass  # its end tells why
            except ValueError as error:
                rubbish = str(error)
        if overdue.is_set():
            if left_s <= patience_s:
                raise DeadlineError
            raise VariantError(HUNG, f"the variant's process did not answer for {patience_s:.0f} s")
        if rubbish:
            self.end()
            raise VariantError(CRASHED, f"the variant's process wrote rubbish: {rubbish}")
        if reply is None:
            raise VariantError(CRASHED, self._death())
        if reply.error:
            raise VariantError(code, reply.error)
        return reply

    @contextlib.contextmanager
    def _killed_after(self, limit_s: float) -> Iterator[threading.Event]:
        """Kills the process where the body takes longer than `limit_s`, and sets the event then.

        Its pipes close with it, which ends a read that it left in the middle of a message.
        """
        overdue = threading.Event()

        def kill() -> None:
            overdue.set()
            self._process.kill()

        watchdog = threading.Timer(min(limit_s, threading.TIMEOUT_MAX), kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            yield overdue
        finally:
            watchdog.cancel()
            # It may be on its way already; whether it killed must be settled before anybody asks.
            watchdog.join()

    def _death(self) -> str:
        """How it died, and the last line that it said."""
        try:
            code = self._process.wait(EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return "the variant's process closed its pipe and did not end"
        self._stderr.seek(max(self._stderr.seek(0, os.SEEK_END) - STDERR_TAIL_BYTES, 0))
        said = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"the variant's process ended with {exit_name(code)}" + (f": {said[-1]}" if said else "")

    @property
    def _stdin(self) -> Any:
        return self._process.stdin

    @property
    def _stdout(self) -> Any:
        return self._process.stdout

    def end(self) -> None:
        """Kills the process where it still runs, and gives back its pipes. May be called again."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._stdout, self._stderr):
            pipe.close()
        try:
            self._stdin.close()
        except BrokenPipeError:
            return  # what it was never to read

    def __enter__(self) -> VariantProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


def exit_name(code: int) -> str:
    """ "SIGSEGV" or "exit code 3"."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
