"""Where a part's model and data come from. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from edgemeter_converters.trust import is_function
from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_coordinator.study_file.contents import Original, Part, StudyFile
from edgemeter_protos import plans


class Kind(Enum):
    ZOO = "zoo"
    FILE = "file"
    FUNCTION = "function"
    KNOWN = "known to the coordinator"


@dataclass(frozen=True, kw_only=True)
class Located:
    """Attributes:
    text: the zoo entry's name, the file's path, the function, or what the coordinator knows it by.
    """

    kind: Kind
    text: str


@dataclass(frozen=True, kw_only=True)
class Origins:
    """Of one part."""

    model: Located
    data: Located


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What names may mean.

    Attributes:
        folder: that paths are relative to: the study file's.
        zoo: names of its entries.
        models, datasets: names and digests that the coordinator knows.
        exists: whether a path leads to something.
    """

    folder: Path
    zoo: Collection[str]
    models: Collection[str]
    datasets: Collection[str]
    exists: Callable[[Path], bool]


def locate(file: StudyFile, part: Part, around: Surroundings) -> Origins:
    """Where the part's model and data come from. Raises EdgemeterError, one line with the file's line."""
    model = _located(file, part.model, "model", around, around.models)
    if model.kind is Kind.KNOWN and (part.task or part.inputs or part.preprocess):
        raise EdgemeterError(
            f"{file.source}:{part.model.line}: task, inputs and preprocess are for a model that is added, "
            f"and {model.text!r} is on the coordinator already: give its file, or leave them out"
        )
    if part.data.source:
        return Origins(model=model, data=_located(file, part.data, "data", around, around.datasets))
    if model.kind is not Kind.ZOO:
        raise EdgemeterError(
            f"{file.source}:{part.line}: part {part.name} names no data, and only models of the zoo bring "
            "their own: write data = a path, a zoo name, or package.module:function"
        )
    return Origins(model=model, data=model)


def _located(
    file: StudyFile, original: Original, noun: str, around: Surroundings, known: Collection[str]
) -> Located:
    source = original.source
    path = around.folder / Path(source).expanduser()
    if source in around.zoo:
        return Located(kind=Kind.ZOO, text=source)
    if around.exists(path):
        return Located(kind=Kind.FILE, text=str(path))
    if is_function(source):
        return Located(kind=Kind.FUNCTION, text=source)
    if source in known:
        return Located(kind=Kind.KNOWN, text=source)
    near = difflib.get_close_matches(source[:100], [*around.zoo, *known], n=1)
    if near:
        hint = f"did you mean {near[0]!r}?"
    elif "/" in source or "." in source:
        hint = f"there is no file {path}"
    else:
        hint = f"the zoo has {', '.join(around.zoo)} (`edgemeter fetch --list`)"
    raise EdgemeterError(f"{file.source}:{original.line}: no {noun} is called {plans.shown(source)}: {hint}")
