"""Brings a part's model and data to the coordinator: out of the zoo, from a file, from a function."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from edgemeter_coordinator.sdk import data_source, model_source, upload
from edgemeter_coordinator.sdk.errors import EdgemeterError, Refused
from edgemeter_coordinator.sdk.study_watcher import Watcher
from edgemeter_coordinator.study_file.contents import Part
from edgemeter_coordinator.study_file.originals import Kind, Located, Origins
from edgemeter_protos.v1 import lab_pb2

if TYPE_CHECKING:
    from edgemeter_converters.zoo import Fetched
    from edgemeter_coordinator.sdk.lab import Lab

T = TypeVar("T")

_TEXT_SUFFIXES = (".txt",)
"""Of data that a model's tokenizer reads."""


@dataclass(frozen=True, kw_only=True)
class Brought:
    """Digests by which the coordinator knows them."""

    model: str
    data: str


def bring(lab: Lab, part: Part, origins: Origins, watcher: Watcher) -> Brought:
    """Adds what the coordinator does not have. Raises EdgemeterError for what can't be fetched, or added."""
    model = _model(lab, part, origins.model, watcher)
    return Brought(model=model, data=_data(lab, part, origins.data, model, watcher))


def zoo_names() -> list[str]:
    from edgemeter_converters import zoo

    return list(zoo.ENTRIES)


def application_of(name: str) -> str:
    """What a zoo entry is for; empty for what is none."""
    from edgemeter_converters import zoo

    entry = zoo.ENTRIES.get(name)
    return "" if entry is None else entry.application


def _fetched(name: str, watcher: Watcher) -> Fetched:
    from edgemeter_converters import zoo

    try:
        return zoo.fetch(name, progress=lambda line: watcher.doing(f"{name}: {line}"))
    except zoo.FetchError as error:
        raise EdgemeterError(f"cannot fetch {name}: {error}") from error


def _model(lab: Lab, part: Part, model: Located, watcher: Watcher) -> str:
    if model.kind is Kind.KNOWN:
        return lab.model(model.text).model.digest
    task, preprocess = part.task, part.preprocess
    source: str | Path = model.text
    if model.kind is Kind.ZOO:
        fetched = _fetched(model.text, watcher)
        source = fetched.model_path
        task, preprocess = task or fetched.task, preprocess or fetched.preprocessing

    def add(source: str | Path, name: str | None) -> lab_pb2.Model:
        return lab.add_model(
            source,
            name,
            inputs=part.inputs,
            preprocess=preprocess,
            task=task,
            progress=watcher.upload_of(Path(source).name),
        ).model

    return _added(source, model, part, model_source.as_file, add).digest


def _data(lab: Lab, part: Part, data: Located, model_digest: str, watcher: Watcher) -> str:
    if data.kind is Kind.KNOWN:
        return next(each.digest for each in lab.datasets() if data.text in (each.name, each.digest))
    source: str | Path = data.text
    if data.kind is Kind.ZOO:
        source = _fetched(data.text, watcher).data_path
    is_text = Path(source).suffix in _TEXT_SUFFIXES

    def add(source: str | Path, name: str | None) -> lab_pb2.Dataset:
        return lab.add_dataset(
            source,
            name,
            image_size=part.data.image_size,
            input_columns=part.data.input_columns,
            label_column=part.data.label_column,
            tokenizer=model_digest if is_text else "",
            window_tokens=part.data.window_tokens,
            progress=watcher.upload_of(Path(source).name),
        ).dataset

    return _added(source, data, part, data_source.as_file, add).digest


def _added(
    source: str | Path,
    located: Located,
    part: Part,
    as_file: Callable[[Path], AbstractContextManager[Path]],
    add: Callable[[str | Path, str | None], T],
) -> T:
    """What `add` gives for the source under its usual name, or under another where that is another one's."""
    if located.kind is Kind.FUNCTION:
        try:
            return add(source, None)
        except Refused as refused:
            if refused.reason != "ALREADY_EXISTS":
                raise
            return add(source, f"{str(source).rpartition(':')[2]}-{part.name}")
    with as_file(Path(source)) as file:
        name = located.text if located.kind is Kind.ZOO else file.stem
        try:
            return add(file, name)
        except Refused as refused:
            if refused.reason != "ALREADY_EXISTS":
                raise
            # A file that was changed since it was last sent: both stay known, told apart by the digest.
            return add(file, f"{name}-{upload.file_digest(file)[:8]}")
