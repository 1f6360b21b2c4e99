"""What a bundle's bundle.json says, as a value and as JSON. Pure.

A study, its model and data, and its boards are the contract's own messages (lab.proto) in protobuf's JSON,
with the names of its fields: digests, recipes, the plan with every number and the seed, each variant's
manifest with its tools' versions, the boards' facts. Beside them stand the numbers that came out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

from edgemeter_coordinator.bundle.numbers import ANYWHERE, BOARD, METER, Measured, Number
from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_protos.v1 import lab_pb2

FORMAT = "edgemeter-bundle"
VERSION = 1

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, kw_only=True)
class Bundled:
    """One study.

    Attributes:
        zoo_model, zoo_data: entries that bring them, if any does; empty where none is known to.
        boards: by id.
    """

    study: lab_pb2.Study
    model: lab_pb2.Model
    data: lab_pb2.Dataset
    boards: Mapping[str, lab_pb2.Device]
    measured: Sequence[Measured]
    zoo_model: str = ""
    zoo_data: str = ""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Attributes:
    made_by: version of the edgemeter that made it.
    files: digests of what is in it beside this.
    """

    made_by: str
    studies: Sequence[Bundled]
    files: frozenset[str] = field(default_factory=frozenset)


def to_json(bundle: Bundle) -> str:
    content = {
        "format": FORMAT,
        "version": VERSION,
        "made_by": bundle.made_by,
        "files": sorted(bundle.files),
        "studies": [_study_to(each) for each in bundle.studies],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str | bytes) -> Bundle:
    """Raises EdgemeterError, one line, for what no bundle says."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EdgemeterError(f"it is no JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise EdgemeterError(f"its format is not {FORMAT!r}")
    if content.get("version") != VERSION:
        raise EdgemeterError(
            f"it is of version {content.get('version')!r}, and {VERSION} is read here: update edgemeter"
        )
    reader = _Reader(content, "")
    return Bundle(
        made_by=reader.text("made_by"),
        files=frozenset(reader.texts("files")),
        studies=[_study_from(each) for each in reader.tables("studies")],
    )


def _study_to(one: Bundled) -> dict[str, Any]:
    return {
        "study": _to(one.study),
        "model": _to(one.model),
        "zoo_model": one.zoo_model,
        "data": _to(one.data),
        "zoo_data": one.zoo_data,
        "boards": [_to(board) for board in one.boards.values()],
        "results": [asdict(each) for each in one.measured],
    }


def _study_from(reader: _Reader) -> Bundled:
    boards = [reader.message(each, lab_pb2.Device()) for each in reader.lists("boards")]
    return Bundled(
        study=reader.message(reader.value("study"), lab_pb2.Study()),
        model=reader.message(reader.value("model"), lab_pb2.Model()),
        data=reader.message(reader.value("data"), lab_pb2.Dataset()),
        zoo_model=reader.text("zoo_model"),
        zoo_data=reader.text("zoo_data"),
        boards={board.id: board for board in boards},
        measured=[_measured_from(each) for each in reader.tables("results")],
    )


def _measured_from(reader: _Reader) -> Measured:
    return Measured(
        recipe=reader.text("recipe"),
        device_id=reader.text("device_id"),
        verdict=reader.text("verdict"),
        runtime=reader.text("runtime"),
        meter=reader.text("meter"),
        numbers=tuple(_number_from(each) for each in reader.tables("numbers")),
    )


def _number_from(reader: _Reader) -> Number:
    where = reader.text("where")
    if where not in (ANYWHERE, BOARD, METER):
        reader.fail("where", f"is none of {ANYWHERE}, {BOARD}, {METER}")
    return Number(
        name=reader.text("name"),
        value=reader.number("value"),
        low=reader.number_or_none("low"),
        high=reader.number_or_none("high"),
        where=where,
        samples=int(reader.number("samples")),
    )


def _to(message: Message) -> dict[str, Any]:
    content: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return content


class _Reader:
    """A JSON object, and where it is."""

    def __init__(self, content: object, where: str) -> None:
        self._where = where
        if not isinstance(content, dict):
            raise EdgemeterError(f"{where} is no object")
        self._content: dict[str, Any] = content

    def fail(self, key: str, problem: str) -> None:
        raise EdgemeterError(f"{self._at(key)} {problem}")

    def value(self, key: str) -> Any:
        if key not in self._content:
            self.fail(key, "is missing")
        return self._content[key]

    def text(self, key: str) -> str:
        value = self.value(key)
        if not isinstance(value, str):
            self.fail(key, "is no text")
        return str(value)

    def texts(self, key: str) -> list[str]:
        values = self.lists(key)
        if not all(isinstance(each, str) for each in values):
            self.fail(key, "is no list of texts")
        return values

    def number(self, key: str) -> float:
        value = self.value(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self.fail(key, "is no number")
        return float(value)

    def number_or_none(self, key: str) -> float | None:
        return None if self.value(key) is None else self.number(key)

    def lists(self, key: str) -> list[Any]:
        value = self.value(key)
        if not isinstance(value, list):
            self.fail(key, "is no list")
        return list(value)

    def tables(self, key: str) -> list[_Reader]:
        return [_Reader(each, self._at(f"{key}[{place}]")) for place, each in enumerate(self.lists(key))]

    def message(self, content: Any, message: M) -> M:
        """Fields that a later edgemeter added are passed over."""
        try:
            return ParseDict(content, message, ignore_unknown_fields=True)
        except (ParseError, TypeError, AttributeError, ValueError) as error:
            name = type(message).__name__
            raise EdgemeterError(f"{self._where}: it has no {name} that can be read: {error}") from None

    def _at(self, key: str) -> str:
        return f"{self._where}.{key}" if self._where else key
