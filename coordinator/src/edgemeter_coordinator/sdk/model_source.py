"""What a model may be given as: a file, a SavedModel's or a language model's folder, or a function; and its
inputs as text."""

from __future__ import annotations

import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_protos.v1 import variant_pb2

_INPUT = re.compile(r"\s*([a-z][a-z0-9]*)\s*\[([^\]]*)\]\s*", re.ASCII)

_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""The earliest that a .zip can say."""

_GRAPH, _CONFIG = "saved_model.pb", "config.json"

_OF_LANGUAGE_MODELS = (_CONFIG, "tokenizer.json", "*.safetensors")
"""What is read of a Hugging Face folder, which may hold the same weights in other forms too."""


def input_spec(text: str) -> variant_pb2.TensorSpec:
    """One sample of an input: "float32[3,32,32]". Raises EdgemeterError. Pure."""
    match = _INPUT.fullmatch(text)
    sizes = [] if match is None or not match[2].strip() else match[2].split(",")
    if match is None or not all(size.strip().isascii() and size.strip().isdecimal() for size in sizes):
        raise EdgemeterError(
            f"{text!r} is no input: write the element type and the shape of one sample, such as "
            "float32[3,32,32]"
        )
    return variant_pb2.TensorSpec(dtype=match[1], shape=[int(size) for size in sizes])


@contextmanager
def as_file(path: Path) -> Iterator[Path]:
    """`path` itself, or a .zip of a SavedModel's or a Hugging Face folder, named as the folder is; that one
    is there for as long as this lasts. Raises EdgemeterError."""
    if not path.is_dir():
        yield path
        return
    if (path / _GRAPH).is_file():
        files = [each for each in path.rglob("*") if each.is_file()]
    elif (path / _CONFIG).is_file():
        files = [each for pattern in _OF_LANGUAGE_MODELS for each in path.glob(pattern)]
    else:
        raise EdgemeterError(
            f"{path} is a folder without {_GRAPH} or {_CONFIG}: it is no SavedModel, and no language model"
        )
    with tempfile.TemporaryDirectory(prefix="edgemeter-pack-") as scratch:
        packed = Path(scratch) / f"{path.resolve().name}.zip"
        try:
            pack(path, packed, files)
        except OSError as error:
            raise EdgemeterError(f"cannot pack {error.filename or path}: {error.strerror}") from error
        yield packed


def pack(folder: Path, into: Path, files: Iterable[Path]) -> None:
    """Writes a .zip of `files` below `folder`: the same bytes for the same files, wherever and whenever.

    Raises OSError where one can't be read, or `into` not be written.
    """
    with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(files):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _FIRST_DAY)
            entry.create_system = 3  # Unix, on every system
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, 1 << 20)
