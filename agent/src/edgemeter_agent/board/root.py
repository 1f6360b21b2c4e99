"""The file system that a board is read from."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

PROGRAM_TIMEOUT_S = 5
CHUNK_BYTES = 65_536


def open_readonly(path: str) -> int:
    """A descriptor of a file to read."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


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
    opener: Callable[[str], int] = field(default=open_readonly, compare=False, repr=False)
    """Opens what is read; one of a test answers EAGAIN or EACCES, which no file of a tree does."""

    @property
    def is_real(self) -> bool:
        return self.root == Path("/")

    def path(self, relative: str) -> Path:
        return self.root / relative.lstrip("/")

    def text(self, relative: str) -> str:
        """A file's text without its last newline or the NUL that ends device-tree strings.

        Raises OSError as the file system does: sensors answer EAGAIN, ENODATA or EACCES.
        """
        # Not by a file object: for EAGAIN its read() gives None instead of the error.
        descriptor = self.opener(str(self.path(relative)))
        try:
            content = b"".join(iter(lambda: os.read(descriptor, CHUNK_BYTES), b""))
        finally:
            os.close(descriptor)
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

    def write(self, relative: str, text: str) -> None:
        """Sets what is there already, as a setting of the kernel is; never makes a file. Raises OSError."""
        descriptor = os.open(self.path(relative), os.O_WRONLY | os.O_TRUNC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)

    def names(self, folder: str) -> list[str]:
        """What a folder holds at this moment, unsorted; nothing where it can't be read."""
        try:
            return [entry.name for entry in os.scandir(self.path(folder))]
        except OSError:
            return []

    def glob(self, pattern: str) -> list[str]:
        """Paths relative to the root, sorted with numbers by value: cpu2 before cpu10."""
        found = (str(path.relative_to(self.root)) for path in self.root.glob(pattern.lstrip("/")))
        return sorted(
            found, key=lambda path: [int(part) if part.isdigit() else part for part in _split(path)]
        )

    def program_output(self, name: str, *arguments: str, timeout_s: float = PROGRAM_TIMEOUT_S) -> str:
        """What a program of the board prints. Raises FileNotFoundError where there is none, OSError where it
        can't be run, answers with a failure or takes longer than `timeout_s`."""
        program = self.program(name)
        if program is None:
            raise FileNotFoundError(f"no program {name}")
        try:
            done = subprocess.run(
                [program, *arguments],
                capture_output=True,
                text=True,
                timeout=timeout_s,
                errors="replace",
            )
        except subprocess.TimeoutExpired:
            raise OSError(f"{name} took longer than {timeout_s:g} s") from None
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise OSError(f"{name}: {said[-1] if said else f'exit code {done.returncode}'}")
        return done.stdout

    def program(self, name: str) -> str | None:
        """Where a program of the board is, None where there is none."""
        if self.is_real:
            return shutil.which(name)
        for folder in ("bin", "usr/bin"):
            if os.access(self.path(f"{folder}/{name}"), os.X_OK):
                return str(self.path(f"{folder}/{name}"))
        return None


@dataclass(frozen=True)
class SteadyRoot(BoardRoot):
    """A board whose sensors stay where they are: a pattern is looked for once, which takes longer than to
    read what it found. For a process that reads the same ones over and over.

    What comes and goes, such as processes and threads, is asked of `names`, which looks anew.
    """

    _found: dict[str, list[str]] = field(default_factory=dict, compare=False, repr=False)

    def glob(self, pattern: str) -> list[str]:
        if pattern not in self._found:
            self._found[pattern] = super().glob(pattern)
        return self._found[pattern]


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
