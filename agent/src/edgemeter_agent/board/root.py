"""The file system that a board is read from."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

PROGRAM_TIMEOUT_S = 5


@dataclass(frozen=True, kw_only=True)
class Reading(Generic[T]):
    """A value read from a board, or None and the reason why there is none."""

    value: T | None
    detail: str
    """How it is read; where `value` is None, why it can't be."""


@dataclass(frozen=True)
class BoardRoot:
    """Every file, and every program, that tells of the board: under `/`, or under a tree that a test made."""

    root: Path = Path("/")

    @property
    def is_real(self) -> bool:
        return self.root == Path("/")

    def path(self, relative: str) -> Path:
        return self.root / relative.lstrip("/")

    def text(self, relative: str) -> str:
        """A file's text without its last newline or the NUL that ends device-tree strings.

        Raises OSError as the file system does: sensors answer EAGAIN, ENODATA or EACCES.
        """
        content = self.path(relative).read_bytes()
        return content.decode("utf-8", errors="replace").rstrip("\0\n").strip()

    def text_or_none(self, relative: str) -> str | None:
        try:
            return self.text(relative) or None
        except OSError:
            return None

    def number(self, relative: str) -> int:
        """Raises OSError where it can't be read and ValueError where it is no whole number."""
        return int(self.text(relative))

    def number_or_none(self, relative: str) -> int | None:
        try:
            return self.number(relative)
        except (OSError, ValueError):
            return None

    def glob(self, pattern: str) -> list[str]:
        """Paths relative to the root, sorted with numbers by value: cpu2 before cpu10."""
        found = (str(path.relative_to(self.root)) for path in self.root.glob(pattern.lstrip("/")))
        return sorted(
            found, key=lambda path: [int(part) if part.isdigit() else part for part in _split(path)]
        )

    def program_output(self, name: str, *arguments: str) -> str:
        """What a program of the board prints. Raises FileNotFoundError where there is none, OSError where it
        can't be run, answers with a failure or takes longer than 5 s."""
        program = self._program(name)
        if program is None:
            raise FileNotFoundError(f"no program {name}")
        try:
            done = subprocess.run(
                [program, *arguments],
                capture_output=True,
                text=True,
                timeout=PROGRAM_TIMEOUT_S,
                errors="replace",
            )
        except subprocess.TimeoutExpired:
            raise OSError(f"{name} took longer than {PROGRAM_TIMEOUT_S} s") from None
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise OSError(f"{name}: {said[-1] if said else f'exit code {done.returncode}'}")
        return done.stdout

    def _program(self, name: str) -> str | None:
        if self.is_real:
            return shutil.which(name)
        for folder in ("bin", "usr/bin"):
            if os.access(self.path(f"{folder}/{name}"), os.X_OK):
                return str(self.path(f"{folder}/{name}"))
        return None


def reason(error: OSError | ValueError, what: str) -> str:
    """One line of why `what` could not be read."""
    if isinstance(error, OSError) and error.strerror:
        return f"{what}: {error.strerror.lower()}"
    return f"{what}: {error}"


def _split(path: str) -> list[str]:
    parts: list[str] = []
    for char in path:
        if parts and parts[-1][-1].isdigit() == char.isdigit():
            parts[-1] += char
        else:
            parts.append(char)
    # Alternates text and number, and starts with text, so that only like is compared with like.
    return parts if parts and not parts[0].isdigit() else ["", *parts]
