"""A SavedModel's files, out of the .zip that its folder is packed as."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath
from typing import NoReturn

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import zip_members
from edgemeter_protos.v1 import refusal_pb2

MAX_BYTES = (2 << 30) - 1
"""Of all its files once unpacked: what a .tflite can hold at most."""

GRAPH = "saved_model.pb"


def unpack(path: Path, file_name: str, folder: Path) -> None:
    """The graph and the variables into `folder`; whatever else is in the zip stays there.

    Raises:
        ConversionError: NOT_A_MODEL, TOO_LARGE, or UNSAFE_MODEL for a member that leads out of the folder.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            zip_members.unpack(archive, _members(archive, file_name), folder)
    except FileNotFoundError:
        _refuse(file_name, "there is no such file")
    except zip_members.DAMAGE as error:
        _refuse(file_name, f"it is no SavedModel packed as a .zip ({type(error).__name__})")


def _members(archive: zipfile.ZipFile, file_name: str) -> dict[str, zipfile.ZipInfo]:
    """By their paths in the SavedModel."""
    infos = zip_members.looked_at(archive, file_name, MAX_BYTES, "a SavedModel")
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
