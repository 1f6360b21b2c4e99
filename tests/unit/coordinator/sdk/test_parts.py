"""Which studies a study file's name means."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_coordinator.sdk import parts
from edgemeter_coordinator.sdk.errors import Refused
from edgemeter_coordinator.sdk.parts import PartName
from edgemeter_coordinator.sdk.study import Study
from edgemeter_protos.v1 import lab_pb2


@dataclass
class Made:
    last: lab_pb2.Study


def made(name: str, at_ms: int, *boards: str) -> Made:
    jobs = [lab_pb2.Job(device_id=board) for board in boards or ("a",)]
    return Made(lab_pb2.Study(name=name, created_at_unix_ms=at_ms, jobs=jobs))


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("compression/resnet", PartName(file="compression", part="resnet")),
        ("compression/resnet/2", PartName(file="compression", part="resnet", run=2)),
        # A study of `bench`.
        ("digits-1", None),
        ("a/", None),
        ("/a", None),
        # The first run has no number.
        ("a/b/1", None),
        ("a/b/0", None),
        ("a/b/02", None),
        ("a/b/c", None),
        ("a/b/", None),
        ("a/b/2/3", None),
    ],
)
def test_parse(name: str, means: PartName | None) -> None:
    assert parts.parse(name) == means


_WORD = st.text("abcxyz0129-_.+", min_size=1, max_size=8)


@given(_WORD, _WORD, st.integers(1, 999))
def test_a_name_is_read_as_it_was_written(file: str, part: str, run: int) -> None:
    name = PartName(file=file, part=part, run=run)
    assert parts.parse(str(name)) == name


@pytest.mark.parametrize(
    ("studies", "kept"),
    [
        ([], []),
        # In the file's order, though the coordinator lists the newest first.
        ([made("f/b", 2), made("f/a", 1)], ["f/a", "f/b"]),
        # A part that was made again keeps its place.
        ([made("f/a/2", 9), made("f/b", 2), made("f/a", 1)], ["f/a/2", "f/b"]),
        # Within the same millisecond the number tells.
        ([made("f/a/10", 1), made("f/a/9", 1)], ["f/a/10"]),
        # Another board's results are kept beside.
        ([made("f/a/2", 2, "pi"), made("f/a", 1, "jetson")], ["f/a", "f/a/2"]),
        ([made("f/a/2", 2, "pi", "jetson"), made("f/a", 1, "jetson", "pi")], ["f/a/2"]),
    ],
)
def test_newest(studies: list[Made], kept: list[str]) -> None:
    assert [study.last.name for study in parts.newest(studies)] == kept


class Listing:
    """A lab with studies; `study` fails as a coordinator would."""

    def __init__(self, *studies: lab_pb2.Study) -> None:
        self._studies = [Study(self, each) for each in studies]  # type: ignore[arg-type]

    def study(self, reference: str) -> Study:
        exact = [each for each in self._studies if reference in (each.name, each.id)]
        begins = [each for each in self._studies if reference and each.id.startswith(reference)]
        found = exact or begins
        if not found:
            raise Refused("there is none", reason="NOT_FOUND")
        return found[0]

    def studies(self, limit: int = 0, *, part_of: str = "") -> list[Study]:
        return [each for each in self._studies if each.name.startswith(f"{part_of}/")]


def study(name: str, id_: str, at_ms: int = 0) -> lab_pb2.Study:
    return lab_pb2.Study(name=name, id=id_, created_at_unix_ms=at_ms)


@pytest.mark.parametrize(
    ("reference", "means"),
    [
        ("cafe", ["cafe/a", "cafe/b"]),
        ("cafe/*", ["cafe/a", "cafe/b"]),
        ("cafe/b", ["cafe/b"]),
        ("cafe12", ["digits-1"]),
        ("digits-1", ["digits-1"]),
        # A study of just this name is meant before parts; with /* the parts are.
        ("both", ["both"]),
        ("both/*", ["both/x"]),
    ],
)
def test_studies_of(reference: str, means: list[str]) -> None:
    lab = Listing(
        study("cafe/a", "11", 1),
        study("cafe/b", "22", 2),
        study("digits-1", "cafe1234"),
        study("both", "33"),
        study("both/x", "44"),
    )
    assert [each.name for each in parts.studies_of(lab, reference)] == means  # type: ignore[arg-type]


@pytest.mark.parametrize("reference", ["other", "other/*", "cafe/c", "/*", ""])
def test_studies_of_nothing(reference: str) -> None:
    lab = Listing(study("cafe/a", "11", 1))
    with pytest.raises(Refused):
        parts.studies_of(lab, reference)  # type: ignore[arg-type]
