from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import saved_model_files
from edgemeter_protos.v1 import refusal_pb2


def packed(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("prefix", ["", "net/"])
def test_graph_and_variables_are_unpacked_and_nothing_else(tmp_path: Path, prefix: str) -> None:
    members = {"saved_model.pb": b"g", "variables/variables.index": b"i", "assets/vocabulary": b"a", "x": b""}
    archive = packed(tmp_path / "m.zip", {f"{prefix}{name}": content for name, content in members.items()})
    folder = tmp_path / "out"
    folder.mkdir()
    saved_model_files.unpack(archive, "m.zip", folder)
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == {"saved_model.pb": b"g", "variables/variables.index": b"i"}


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "variables/../../evil", "..\\evil"])
def test_what_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    archive = packed(tmp_path / "m.zip", {"saved_model.pb": b"", name: b"evil"})
    with pytest.raises(ConversionError, match="leads out of the folder") as refused:
        saved_model_files.unpack(archive, "m.zip", tmp_path / "out")
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL


def test_a_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("variables/variables.index")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("saved_model.pb", b"")
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ConversionError, match="leads out of the folder"):
        saved_model_files.unpack(tmp_path / "m.zip", "m.zip", tmp_path / "out")


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = packed(
        tmp_path / "m.zip", {"saved_model.pb": b"", "variables/variables.data": bytes(2_000_000)}
    )
    assert archive.stat().st_size < 10_000
    monkeypatch.setattr(saved_model_files, "MAX_BYTES", 1_000_000)
    with pytest.raises(ConversionError, match=r"m\.zip: it unpacks to 2,000,000 bytes") as refused:
        saved_model_files.unpack(archive, "m.zip", tmp_path / "out")
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_TOO_LARGE


@pytest.mark.parametrize(
    ("members", "message"),
    [
        pytest.param({"readme": b""}, "a SavedModel's .zip has one saved_model.pb", id="no graph"),
        pytest.param({"a/b/saved_model.pb": b""}, "has one saved_model.pb", id="too deep"),
        pytest.param({"a/saved_model.pb": b"", "b/saved_model.pb": b""}, "has one", id="two of them"),
        pytest.param({f"{at}": b"" for at in range(1001)}, "it holds 1,001 files", id="too many files"),
    ],
)
def test_what_is_no_saved_model_is_refused(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    with pytest.raises(ConversionError, match=message) as refused:
        saved_model_files.unpack(packed(tmp_path / "m.zip", members), "m.zip", tmp_path / "out")
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_NOT_A_MODEL


@pytest.mark.parametrize("content", [b"", b"I am no zip", b"PK\x03\x04broken"])
def test_what_is_no_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.zip").write_bytes(content)
    with pytest.raises(ConversionError, match=r"m\.zip: it is no SavedModel") as refused:
        saved_model_files.unpack(tmp_path / "m.zip", "m.zip", tmp_path / "out")
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_NOT_A_MODEL
