"""Brings a part's model and data to the coordinator: out of the zoo, from a file, from a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from edgemeter_coordinator.sdk import data_source, model_source
from edgemeter_coordinator.sdk.adding import TEXT_SUFFIX, fetched, under_a_free_name
from edgemeter_coordinator.sdk.errors import Refused
from edgemeter_coordinator.sdk.study_watcher import Watcher
from edgemeter_coordinator.study_file.contents import Part
from edgemeter_coordinator.study_file.originals import Kind, Located, Origins
from edgemeter_protos.v1 import lab_pb2

if TYPE_CHECKING:
    from edgemeter_coordinator.sdk.lab import Lab

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Brought:
    """Digests by which the coordinator knows them."""

    model: str
    data: str


def bring(lab: Lab, part: Part, origins: Origins, watcher: Watcher) -> Brought:
    """Adds what the coordinator does not have. Raises EdgemeterError for what can't be fetched or added."""
    model = _model(lab, part, origins.model, watcher)
    return Brought(model=model, data=_data(lab, part, origins.data, model, watcher))


def _model(lab: Lab, part: Part, model: Located, watcher: Watcher) -> str:
    if model.kind is Kind.KNOWN:
        return lab.model(model.text).model.digest
    task, preprocess = part.task, part.preprocess
    path = Path(model.text)
    if model.kind is Kind.ZOO:
        entry = fetched(model.text, watcher)
        path = entry.model_path
        task, preprocess = task or entry.task, preprocess or entry.preprocessing

    def add(source: str | Path, name: str | None) -> lab_pb2.Model:
        return lab.add_model(
            source,
            name,
            inputs=part.inputs,
            preprocess=preprocess,
            task=task,
            progress=watcher.upload_of(Path(source).name),
        ).model

    if model.kind is Kind.FUNCTION:
        return _of_function(model.text, part, add).digest
    with model_source.as_file(path) as file:
        name = model.text if model.kind is Kind.ZOO else file.stem
        return under_a_free_name(file, name, add).digest


def _data(lab: Lab, part: Part, data: Located, model_digest: str, watcher: Watcher) -> str:
    if data.kind is Kind.KNOWN:
        return next(each.digest for each in lab.datasets() if data.text in (each.name, each.digest))
    path = fetched(data.text, watcher).data_path if data.kind is Kind.ZOO else Path(data.text)

    def add(source: str | Path, name: str | None) -> lab_pb2.Dataset:
        return lab.add_dataset(
            source,
            name,
            image_size=part.data.image_size,
            input_columns=part.data.input_columns,
            label_column=part.data.label_column,
            tokenizer=model_digest if Path(source).suffix == TEXT_SUFFIX else "",
            window_tokens=part.data.window_tokens,
            progress=watcher.upload_of(Path(source).name),
        ).dataset

    if data.kind is Kind.FUNCTION:
        return _of_function(data.text, part, add).digest
    with data_source.as_file(path) as file:
        name = data.text if data.kind is Kind.ZOO else file.stem
        return under_a_free_name(file, name, add).digest


def _of_function(function: str, part: Part, add: Callable[[str, str | None], T]) -> T:
    """What `add` gives for the function under its name, or with the part's where that is another one's."""
    try:
        return add(function, None)
    except Refused as refused:
        if refused.reason != "ALREADY_EXISTS":
            raise
    return add(function, f"{function.rpartition(':')[2]}-{part.name}")
