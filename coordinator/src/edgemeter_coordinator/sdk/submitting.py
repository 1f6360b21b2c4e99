"""A study's model and data as its submitter names them: a file, a folder, a function, or what is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgemeter_coordinator.sdk import data_source, model_source
from edgemeter_coordinator.sdk.adding import under_a_free_name
from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_coordinator.sdk.upload import Progress
from edgemeter_protos.v1 import lab_pb2

if TYPE_CHECKING:
    from edgemeter_coordinator.sdk.lab import Lab

UploadProgress = Callable[[Path, int, int], None]
"""Called with the file, the bytes of it that have arrived, and its size in bytes."""

AsFile = Callable[[Path], AbstractContextManager[Path]]


class Known(Protocol):
    """A model or a dataset that the coordinator has."""

    @property
    def digest(self) -> str: ...
    @property
    def name(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """How one of the two is found and added.

    Attributes:
        noun: what people call it; `command` the command's word for it.
        add: a source, the name that it is to have, who is told of the upload.
    """

    noun: str
    command: str
    known: Callable[[], Iterable[Known]]
    as_file: AsFile
    add: Callable[[str | Path, str | None, Progress | None], Known]


def model(lab: Lab, source: str | Path, progress: UploadProgress | None) -> str:
    """The digest of a model that is now there, or `source` itself where it names what is there.

    Raises EdgemeterError where it is neither a file nor known; Refused.
    """
    kind = _Kind(
        noun="model",
        command="model",
        known=lab.models,
        as_file=model_source.as_file,
        add=lambda source, name, report: lab.add_model(source, name, progress=report).model,
    )
    return _submitted(lab, kind, source, progress)


def dataset(lab: Lab, source: str | Path, progress: UploadProgress | None) -> str:
    """As `model`, for data."""
    kind = _Kind(
        noun="dataset",
        command="data",
        known=lab.datasets,
        as_file=data_source.as_file,
        add=lambda source, name, report: lab.add_dataset(source, name, progress=report).dataset,
    )
    return _submitted(lab, kind, source, progress)


def name_source(
    request: lab_pb2.AddModelRequest | lab_pb2.AddDatasetRequest,
    source: str | Path,
    name: str | None,
    *,
    as_file: AsFile,
    send: Callable[[Path], str],
) -> None:
    """Says in a request what is to be added and how it is called: a function, or a file that was sent.

    Args:
        name: the function's, or the file's stem, where left out.
        as_file: makes one file of a folder.
        send: puts a file's content at the coordinator, and gives its digest.
    """
    if function := data_source.function_of(source):
        request.function, request.name = function, name or function.rpartition(":")[2]
        return
    with as_file(Path(source)) as path:
        request.digest = send(path)
        request.name, request.file_name = _sendable(name or path.stem), _sendable(path.name)


def _submitted(lab: Lab, kind: _Kind, source: str | Path, progress: UploadProgress | None) -> str:
    if data_source.function_of(source):
        return kind.add(source, None, None).digest
    path = Path(source)
    if not data_source.exists(path):
        if isinstance(source, str) and source and _is_known(source, kind.known()):
            return source
        raise EdgemeterError(
            f"there is no file {source} here, and the coordinator knows no {kind.noun} of that name"
            f" (`edgemeter {kind.command} ls` lists them)"
        )

    def report(done_bytes: int, total_bytes: int) -> None:
        if progress is not None:
            progress(path, done_bytes, total_bytes)

    with kind.as_file(path) as file:
        # Also where it is known: its blob may have been damaged there since, and then it is sent again.
        digest = lab.upload(file, progress=report)
        if any(one.digest == digest for one in kind.known()):
            return digest
        return under_a_free_name(file, file.stem, lambda file, name: kind.add(file, name, report)).digest


def _is_known(reference: str, known: Iterable[Known]) -> bool:
    return any(one.name == reference or one.digest.startswith(reference) for one in known)


def _sendable(name: str) -> str:
    """A file's name without the bytes that are no text, which the contract can't carry."""
    return name.encode(errors="replace").decode()
