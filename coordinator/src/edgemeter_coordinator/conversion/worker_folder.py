"""A worker process's own folder for temporary files, since a process that is killed removes none of them, and
a language model's are half a gigabyte."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

T = TypeVar("T")


def run_in_own_folder(parent: Path, function: Callable[..., T], *args: object) -> T:
    """`function(*args)`, in a process whose temporary files are in a folder below `parent` from then on."""
    folder = parent / str(os.getpid())
    folder.mkdir(parents=True, exist_ok=True)
    # Both: this process may have asked before, and what it starts asks for itself.
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    return function(*args)


def remove_left(parent: Path) -> None:
    """Removes the folders of processes that have ended."""
    for folder in parent.iterdir() if parent.is_dir() else ():
        if not psutil.pid_exists(int(folder.name)):
            shutil.rmtree(folder, ignore_errors=True)
