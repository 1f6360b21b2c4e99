"""A SavedModel's files, out of the .zip that its folder is packed as."""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import NoReturn

from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.v1 import refusal_pb2

MAX_BYTES = (2 << 30) - 1
"""Of all its files once unpacked: what a .tflite can hold at most."""

MAX_FILES = 1000

GRAPH = "saved_model.pb"


def unpack(path: Path, file_name: str, folder: Path) -> None:
    """The graph and the variables into `folder`; whatever else is in the zip stays there.

    Raises:
        ConversionError: NOT_A_MODEL, TOO_LARGE, or UNSAFE_MODEL for a member that leads out of the folder.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, file_name)
            for target, info in members.items():
                where = folder / target
                where.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, where.open("wb") as copy:
                    # Never more than the zip's directory says, which was looked at.
                    shutil.copyfileobj(source, copy)
    except FileNotFoundError:
        _refuse(file_name, "there is no such file")
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        _refuse(file_name, f"it is no SavedModel packed as a .zip ({type(error).__name__})")


def _members(archive: zipfile.ZipFile, file_name: str) -> dict[str, zipfile.ZipInfo]:
    """By their paths in the SavedModel."""
    infos = archive.infolist()
    size_bytes = sum(info.file_size for info in infos)
    if size_bytes > MAX_BYTES:
        raise ConversionError(
            f"{file_name}: it unpacks to {size_bytes:,} bytes, at most {MAX_BYTES:,} are read",
            reason=refusal_pb2.REFUSAL_REASON_TOO_LARGE,
        )
    if len(infos) > MAX_FILES:
        _refuse(file_name, f"it holds {len(infos):,} files; a SavedModel has a few")
    for info in infos:
        parts = PurePosixPath(info.filename.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or stat.S_ISLNK(info.external_attr >> 16):
            raise ConversionError(
                f"{file_name}: its member {info.filename!r} leads out of the folder that it is unpacked to",
                reason=refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL,
            )
    graphs = [PurePosixPath(info.filename) for info in infos if PurePosixPath(info.filename).name == GRAPH]
    graphs = [graph for graph in graphs if len(graph.parts) <= 2]
    if len(graphs) != 1:
        _refuse(file_name, f"a SavedModel's .zip has one {GRAPH}, at its top or one folder down")
    top = graphs[0].parent
    found = {}
    for info in infos:
        member = PurePosixPath(info.filename)
        if not info.is_dir() and member.is_relative_to(top):
            inner = member.relative_to(top)
            if str(inner) == GRAPH or (inner.parts[0] == "variables" and len(inner.parts) == 2):
                found[str(inner)] = info
    return found


def _refuse(file_name: str, what: str) -> NoReturn:
    raise ConversionError(f"{file_name}: {what}", reason=refusal_pb2.REFUSAL_REASON_NOT_A_MODEL)
