"""Where the agent keeps what must outlive it, and the lock that makes it the only one there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgemeter_agent.failure import AgentError

ENVIRONMENT_VARIABLE = "EDGEMETER_AGENT_STATE"


def state_root(given: str | None, environment: Mapping[str, str]) -> Path:
    """The flag, else $EDGEMETER_AGENT_STATE, else $XDG_STATE_HOME or ~/.local/state."""
    if given or environment.get(ENVIRONMENT_VARIABLE):
        return Path(given or environment[ENVIRONMENT_VARIABLE]).expanduser()
    base = environment.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "edgemeter-agent"


@dataclass(frozen=True)
class StateDir:
    """The names in it."""

    root: Path

    @property
    def identity_path(self) -> Path:
        return self.root / "identity.json"

    @property
    def cache_dir(self) -> Path:
        return self.root / "cache"

    @property
    def spool_dir(self) -> Path:
        return self.root / "spool"

    @property
    def work_dir(self) -> Path:
        return self.root / "work"

    @property
    def calibrations_dir(self) -> Path:
        return self.root / "calibrations"

    @property
    def engine_path(self) -> Path:
        return self.root / "engine.json"

    @property
    def lock_path(self) -> Path:
        return self.root / "lock"

    def create(self) -> None:
        """Makes the folder, for its owner alone. Raises AgentError."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise AgentError(
                f"cannot make the state directory {self.root}: {error.strerror}; "
                "choose another with --state-dir"
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the directory for this process. Raises AgentError where another one holds it."""
        self.create()
        try:
            descriptor = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise AgentError(f"cannot write in {self.root}: {error.strerror}") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
                raise AgentError(
                    f"another edgemeter-agent (pid {holder}) runs on {self.root}: "
                    "stop it, or give this one its own --state-dir"
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def holder(self) -> str | None:
        """The pid of the agent that runs here, None where none does."""
        try:
            descriptor = os.open(self.lock_path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return os.read(descriptor, 32).decode(errors="replace").strip()
        else:
            return None
        finally:
            os.close(descriptor)
