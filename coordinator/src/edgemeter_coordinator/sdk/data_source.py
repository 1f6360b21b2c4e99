"""What data may be given as: a file, a folder of files, or a function."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgemeter_coordinator.sdk.errors import EdgemeterError

_IMAGE_SIZE = re.compile(r"\s*(\d{1,5})\s*(?:[xX]\s*(\d{1,5})\s*)?", re.ASCII)


def image_size(text: str) -> tuple[int, int]:
    """Height and width: "224x320", or "224" for both. Raises EdgemeterError. Pure."""
    match = _IMAGE_SIZE.fullmatch(text)
    if match is None or int(match[1]) == 0 or int(match[2] or 1) == 0:
        raise EdgemeterError(f"{text!r} is no picture size: write HEIGHTxWIDTH in pixels, such as 224x224")
    return int(match[1]), int(match[2] or match[1])


def function_of(source: str | Path) -> str:
    """`source` where it is written as "package.module:function" and is no file; else empty."""
    from edgemeter_converters.trust import is_function

    text = str(source)
    return text if is_function(text) and not exists(Path(text)) else ""


def exists(path: Path) -> bool:
    """Whether something is there; False for a name that no file can have: too long, or with a zero byte."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


@contextmanager
def as_file(path: Path) -> Iterator[Path]:
    """`path` itself, or a .zip of what it holds where it is a folder of pictures or tables; that one is named
    as the folder is, and is there for as long as this lasts. Raises EdgemeterError."""
    if not path.is_dir():
        yield path
        return
    from edgemeter_converters.datasets.folder import pack

    with tempfile.TemporaryDirectory(prefix="edgemeter-pack-") as scratch:
        packed = Path(scratch) / f"{path.resolve().name}.zip"
        try:
            pack(path, packed)
        except ValueError as error:
            raise EdgemeterError(str(error)) from error
        except OSError as error:
            raise EdgemeterError(f"cannot pack {error.filename or path}: {error.strerror}") from error
        yield packed
