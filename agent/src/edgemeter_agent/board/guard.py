"""Settings that are changed for a while: what was is written down before anything is changed, so that the
next start of any of our programs puts it back if this process is killed.

A guard lies under /run: a reboot empties it, and resets the settings as well. Only settings of `SETTINGS` are
ever written, whatever a guard says.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgemeter_agent.board.root import BoardRoot, reason

SETTINGS = re.compile(
    r"sys/devices/system/cpu/cpufreq/policy\d+/(scaling_governor|scaling_min_freq|boost)"
    r"|sys/devices/system/cpu/(cpufreq/boost|intel_pstate/no_turbo|smt/control)"
    r"|proc/sys/kernel/randomize_va_space"
)
GUARD = "run/edgemeter-agent/governor.json"
"""Of what is changed while something is measured."""
MAX_VALUE_LENGTH = 64
POLL_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Left:
    """What a guard tells."""

    holder: Mapping[str, int]
    """The process that changed them: its number and when it started; numbers are used again, both are not."""
    was: Mapping[str, str]
    """Path -> value, of `SETTINGS` only."""

    @property
    def held(self) -> bool:
        """By a process that lives, and is not this one."""
        pid, started = self.holder["pid"], started_ticks(self.holder["pid"])
        if pid == os.getpid() or started is None:
            return False
        # 0: it could not tell when it started.
        return self.holder["start_ticks"] in (0, started)


class Guard:
    """The guard of one purpose, in the file `path`."""

    def __init__(self, board: BoardRoot, path: str) -> None:
        self._board = board
        self._path = path

    def read(self) -> Left | None:
        """None where there is none. One that was cut off while it was written, which is before anything was
        changed, is removed."""
        try:
            told = json.loads(self._board.text(self._path))
            holder = {"pid": int(told["pid"]), "start_ticks": int(told.get("start_ticks", 0))}
            was = only_settings(told["was"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self.remove()
            return None
        return Left(holder=holder, was=was)

    def write(self, was: Mapping[str, str]) -> None:
        """Says that this process is about to change these. Raises OSError; then nothing must be changed."""
        told = {"pid": os.getpid(), "start_ticks": started_ticks(os.getpid()) or 0, "was": dict(was)}
        write_note(self._board, self._path, told)

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self._board.path(self._path).unlink(missing_ok=True)

    @contextlib.contextmanager
    def changed(self, settings: Mapping[str, str]) -> Iterator[str | None]:
        """Changes settings for a while; the caller has put back what was left over. Yields None where it did,
        and else why not.

        Where what was can't be written down, nothing is changed. Raises OSError where a setting can't be
        read.
        """
        was = {path: self._board.text(path) for path in settings}
        if was == dict(settings):
            yield None
            return
        try:
            self.write(was)
        except OSError as error:
            told = reason(error, f"/{self._path}")
            yield f"{told}: what it was could not be written down, so it was left alone"
            return
        try:
            yield set_all(self._board, settings)
        finally:
            self._put_back(was)

    def restore(self, patience_s: float = 0.0) -> bool:
        """Puts back what a killed process left. True where there was something to put back.

        What a living process holds is left alone; one that is about to end is waited for as long as
        `patience_s`.
        """
        deadline = time.monotonic() + patience_s
        while (left := self.read()) is not None and left.held:
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_S)
        if left is None:
            return False
        return self._put_back(left.was)

    def _put_back(self, was: Mapping[str, str]) -> bool:
        """The guard stays where a setting that is still there could not be written: root may later."""
        there = {path: value for path, value in was.items() if self._board.path(path).exists()}
        if set_all(self._board, there) is not None:
            return False
        self.remove()
        return True


def write_note(board: BoardRoot, relative: str, told: Mapping[str, object]) -> None:
    """Writes a file of JSON that is whole or not there, and never through a link that somebody else laid.
    Raises OSError."""
    path = board.path(relative)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(told))
    scratch.replace(path)


def only_settings(told: Mapping[str, object]) -> dict[str, str]:
    """Pure: of what a file says, the settings that may be written."""
    known = {str(path): str(value)[:MAX_VALUE_LENGTH] for path, value in told.items()}
    return {path: value for path, value in known.items() if SETTINGS.fullmatch(path)}


def measuring(board: BoardRoot) -> Guard:
    """The guard of what is changed while something is measured."""
    return Guard(board, GUARD)


def restore_left_over(board: BoardRoot, patience_s: float = 0.0) -> bool:
    """Puts back what a killed process left changed. True where there was something to put back."""
    return measuring(board).restore(patience_s)


def set_all(board: BoardRoot, settings: Mapping[str, str]) -> str | None:
    """The first failure, if any."""
    failed = None
    for path, value in settings.items():
        try:
            board.write(path, value)
        except OSError as error:
            failed = failed or reason(error, f"/{path}")
    return failed


def started_ticks(pid: int) -> int | None:
    """When a living process started, in ticks since boot: field 22 of /proc/PID/stat. None where there is no
    such process, or only its corpse."""
    try:
        fields = Path(f"/proc/{int(pid)}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if fields[0] in ("Z", "X") else int(fields[19])
