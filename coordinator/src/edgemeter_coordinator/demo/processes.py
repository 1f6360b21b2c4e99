"""The processes that the demo starts, and stops whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from edgemeter_coordinator.sdk.errors import EdgemeterError

_GRACE_S = 15.0


@dataclass(frozen=True, kw_only=True)
class Started:
    """A process in a session of its own, with what it prints in a file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


class Processes:
    """Stops, when the `with` is left, what was started in it: the last one first."""

    def __init__(self) -> None:
        self._started: list[Started] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._started:
            _stop(self._started.pop())

    def start(
        self, name: str, command: Sequence[str], *, log: Path, environment: Mapping[str, str]
    ) -> Started:
        """Starts `command`. A Ctrl-C at the terminal does not reach it: we end it. Raises EdgemeterError."""
        try:
            with log.open("wb") as output:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=dict(environment),
                    start_new_session=True,
                )
        except OSError as error:
            raise EdgemeterError(f"cannot start the {name} ({command[0]}): {error.strerror}") from error
        started = Started(name=name, process=process, log=log)
        self._started.append(started)
        return started

    def check(self) -> None:
        """Raises EdgemeterError where one has ended by itself."""
        for started in self._started:
            code = started.process.poll()
            if code is not None:
                raise EdgemeterError(
                    f"the {started.name} ended with {code}: {last_line(started.log)} (its log: {started.log})"
                )


def last_line(log: Path) -> str:
    """The last line of a log that says something."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "it printed nothing")


def _stop(started: Started) -> None:
    process = started.process
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            # Its session is its own: nobody else is in the group.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
