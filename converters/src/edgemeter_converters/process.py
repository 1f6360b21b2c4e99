"""A conversion worker's process: its settings, and where its tools may write."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgemeter_converters.exceptions import UNSPECIFIED, ConversionError

_TAIL_LINES = 20

_THREADS = 1
"""A worker is one thread: the cluster runs as many workers as the machine bears."""

_ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "CUDA_VISIBLE_DEVICES": "-1",
    "OMP_NUM_THREADS": str(_THREADS),
    "OMP_WAIT_POLICY": "PASSIVE",
    "TF_NUM_INTRAOP_THREADS": str(_THREADS),
    "TF_NUM_INTEROP_THREADS": str(_THREADS),
}
"""Read when TensorFlow and Keras are first imported; processor only, one thread that never spins
while it waits, errors and warnings only."""


def prepare() -> None:
    """Sets this process up for TensorFlow; to be called before anything imports it. May be repeated."""
    os.environ.update(_ENVIRONMENT)


@contextmanager
def tools_write_to(log: Path) -> Iterator[None]:
    """Standard output and error, of C++ code too, go to the end of `log` for as long as this lasts.

    They belong to the process: no two of these may overlap in one.
    """
    _flush()
    kept = [os.dup(stream) for stream in (1, 2)]
    try:
        with log.open("ab") as file:
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
        yield
    finally:
        _flush()
        for stream, original in zip((1, 2), kept, strict=True):
            os.dup2(original, stream)
            os.close(original)


@contextmanager
def failures_in_one_line(log: Path | None, *, keep_log: bool = False) -> Iterator[None]:
    """Turns whatever is raised into a `ConversionError` that carries the end of `log`.

    Args:
        log: None where no tool writes.
        keep_log: whether `log` stays where it is, so that the error may name it.
    """
    try:
        yield
    except ConversionError as error:
        raise _with_log(error.message, error.reason, log, keep_log) from error
    except Exception as error:
        what = "out of memory" if isinstance(error, MemoryError) else f"{type(error).__name__}: {error}"
        message = f"the conversion failed: {' '.join(what.split())[:300]}"
        raise _with_log(message, UNSPECIFIED, log, keep_log) from error


def tail(log: Path) -> str:
    """The last lines of a log; empty where there is none."""
    if not log.exists():
        return ""
    with log.open(encoding="utf-8", errors="replace") as lines:
        return "".join(deque((line[:500] for line in lines), maxlen=_TAIL_LINES))


def _with_log(message: str, reason: int, log: Path | None, keep_log: bool) -> ConversionError:
    return ConversionError(
        message,
        reason=reason,
        log_tail=tail(log) if log else "",
        log_path=str(log) if log and keep_log else "",
    )


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
