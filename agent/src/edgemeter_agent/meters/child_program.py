"""A program that runs beside us and prints, and of which nothing is left afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from edgemeter_agent.interpreter import module_command
from edgemeter_agent.meters import MeterError

GRACE_S = 1.0
"""Between SIGTERM and SIGKILL."""
_TAIL_BYTES = 4096
_POLL_S = 0.01


class ChildProgram:
    """A process group with its standard output for us to read. Its leader is a `guard`."""

    def __init__(self, words: Sequence[str], name: str) -> None:
        """Raises MeterError where it can't be started."""
        path = shutil.which(words[0])
        if path is None and Path(words[0]).exists():
            raise MeterError(
                "meter_forbidden", f"{name}: {words[0]} may not be run; chmod +x makes it a program"
            )
        if path is None:
            raise MeterError("meter_unreachable", f"{name}: there is no program {words[0]}")
        try:
            # The guard's standard input closes when this process ends, however it does.
            self._process = subprocess.Popen(
                [*module_command("edgemeter_agent.meters.guard"), path, *words[1:]],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise MeterError("meter_unreachable", f"{name}: {error}") from None
        self._tail = b""
        self._ended = False
        # Read all the time, since a full pipe would stop the program.
        self._drain = threading.Thread(target=self._keep_tail, name="meter-stderr", daemon=True)
        self._drain.start()

    @property
    def pid(self) -> int:
        """Also the number of its process group."""
        return self._process.pid

    @property
    def stdout_fd(self) -> int:
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def how_it_ended(self) -> str:
        """For a program that closed its output: "ended with exit code 3: LAST LINE OF STDERR"."""
        left_by_itself = self._wait_unreaped(GRACE_S)
        self.close()
        if not left_by_itself:
            how = "closed its output"
        elif self._process.returncode < 0:
            how = f"was ended by signal {-self._process.returncode}"
        else:
            how = f"ended with exit code {self._process.returncode}"
        lines = self._tail.decode("utf-8", errors="replace").strip().splitlines()
        return f"{how}: {lines[-1].strip()[:200]}" if lines else how

    def close(self) -> None:
        """Ends the whole group, by force after 1 s. May be called again."""
        if self._ended:
            return
        self._ended = True
        self._signal(signal.SIGTERM)
        self._wait_unreaped(GRACE_S)
        # Its number stays taken until it is reaped, so nobody else's group is hit.
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._drain.join(GRACE_S)
        stdin, stdout, stderr = self._process.stdin, self._process.stdout, self._process.stderr
        assert stdin is not None
        stdin.close()
        assert stdout is not None
        assert stderr is not None
        stdout.close()
        # Still read where a process that left the group holds it open: its number must not be used again.
        if not self._drain.is_alive():
            stderr.close()

    def _wait_unreaped(self, timeout_s: float) -> bool:
        """Whether it has ended, which it may do within `timeout_s`."""
        due_s = time.monotonic() + timeout_s
        while os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            if time.monotonic() >= due_s:
                return False
            time.sleep(_POLL_S)
        return True

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _keep_tail(self) -> None:
        pipe = self._process.stderr
        assert pipe is not None
        with contextlib.suppress(OSError, ValueError):
            while chunk := pipe.read(_TAIL_BYTES):
                self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
