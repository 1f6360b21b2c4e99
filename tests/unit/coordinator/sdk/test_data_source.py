from __future__ import annotations

import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_coordinator.sdk import data_source, upload
from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_coordinator.sdk.lab import Lab
from edgemeter_protos.v1 import lab_pb2


@pytest.mark.parametrize(
    ("text", "size"),
    [("224x320", (224, 320)), ("224", (224, 224)), (" 8 X 9 ", (8, 9)), ("99999x1", (99999, 1))],
)
def test_reads_picture_sizes(text: str, size: tuple[int, int]) -> None:
    assert data_source.image_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "224x", "0x5", "5x0", "0", "-5", "1.5", "1x2x3", "100000", "٣"])
def test_refuses_picture_sizes(text: str) -> None:
    with pytest.raises(EdgemeterError, match="is no picture size: write HEIGHTxWIDTH in pixels") as refused:
        data_source.image_size(text)
    assert repr(text) in str(refused.value)


@given(st.integers(1, 99999), st.integers(1, 99999))
def test_reads_every_picture_size(height: int, width: int) -> None:
    assert data_source.image_size(f"{height}x{width}") == (height, width)


def test_a_function_is_told_from_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert data_source.function_of("my_package.data:digits") == "my_package.data:digits"
    for path in ("digits.npz", "C:digits.npz", "a/b:c", "folder", ":x", "a:b:c"):
        assert data_source.function_of(path) == ""
    Path("odd:name").write_text("")
    assert data_source.function_of("odd:name") == ""


class Coordinator:
    """What a Lab sends, instead of sending it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests: list[lab_pb2.AddDatasetRequest] = []
        self.uploads: list[tuple[str, bytes]] = []
        monkeypatch.setattr(upload, "upload", self._upload)
        self.lab = object.__new__(Lab)
        self.lab.address = "nowhere:1"
        self.lab._channel = cast("Any", None)
        self.lab.stub = cast("Any", SimpleNamespace(AddDataset=self._add))

    def _upload(self, path: Path, **_: Any) -> str:
        self.uploads.append((path.name, path.read_bytes()))
        return "d1"

    def _add(self, request: lab_pb2.AddDatasetRequest, timeout: float) -> lab_pb2.AddDatasetResponse:
        self.requests.append(request)
        return lab_pb2.AddDatasetResponse()


@pytest.fixture
def coordinator(monkeypatch: pytest.MonkeyPatch) -> Coordinator:
    return Coordinator(monkeypatch)


def test_a_file_is_sent_as_it_is(coordinator: Coordinator, tmp_path: Path) -> None:
    (tmp_path / "digits.npz").write_bytes(b"12")
    coordinator.lab.add_dataset(tmp_path / "digits.npz")
    assert coordinator.uploads == [("digits.npz", b"12")]
    assert coordinator.requests == [
        lab_pb2.AddDatasetRequest(
            digest="d1", name="digits", file_name="digits.npz", reading=lab_pb2.DataReading()
        )
    ]


def test_a_folder_is_sent_as_one_file(coordinator: Coordinator, tmp_path: Path) -> None:
    for name in ("b/2.png", "a/1.jpg", "a/notes.txt", ".git/3.png"):
        (tmp_path / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pets" / name).write_bytes(name.encode())
    coordinator.lab.add_dataset(str(tmp_path / "pets"), image_size=(8, 9))
    (name, content) = coordinator.uploads[0]
    assert name == "pets.zip"
    (tmp_path / "sent").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "sent") as archive:
        assert archive.namelist() == ["a/1.jpg", "b/2.png"]
    assert coordinator.requests == [
        lab_pb2.AddDatasetRequest(
            digest="d1",
            name="pets",
            file_name="pets.zip",
            reading=lab_pb2.DataReading(image_height=8, image_width=9),
        )
    ]


def test_a_function_is_only_named(coordinator: Coordinator) -> None:
    coordinator.lab.add_dataset("my_package.data:digits", input_columns=["a"], label_column="b")
    assert not coordinator.uploads
    assert coordinator.requests == [
        lab_pb2.AddDatasetRequest(
            function="my_package.data:digits",
            name="digits",
            reading=lab_pb2.DataReading(input_columns=["a"], label_column="b"),
        )
    ]


def test_a_folder_without_data_is_not_sent(coordinator: Coordinator, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(EdgemeterError, match=r"holds no pictures \(\.bmp, .*\) and no tables \(\.arrow, "):
        coordinator.lab.add_dataset(tmp_path)
    assert not coordinator.uploads


def test_a_link_that_leads_nowhere_is_named(coordinator: Coordinator, tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(EdgemeterError, match=r"/a\.png is no file that can be read"):
        coordinator.lab.add_dataset(tmp_path)
