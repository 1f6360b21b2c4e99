"""What models may be given as."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_coordinator.sdk import model_source
from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_coordinator.sdk.model_source import input_spec
from edgemeter_protos.v1 import variant_pb2


@pytest.mark.parametrize(
    ("text", "dtype", "shape"),
    [
        ("float32[3,32,32]", "float32", [3, 32, 32]),
        (" int64 [ 128 ] ", "int64", [128]),
        ("float32[]", "float32", []),
    ],
)
def test_an_input_is_read(text: str, dtype: str, shape: list[int]) -> None:
    assert input_spec(text) == variant_pb2.TensorSpec(dtype=dtype, shape=shape)


@pytest.mark.parametrize(
    "text", ["", "float32", "[3,32]", "float32[3,]", "float32[3,-1]", "float32[a]", "3x32"]
)
def test_what_is_no_input_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(EdgemeterError, match=r"float32\[3,32,32\]"):
        input_spec(text)


@given(st.text(max_size=40))
def test_any_text_is_an_input_or_a_refusal(text: str) -> None:
    try:
        spec = input_spec(text)
    except EdgemeterError:
        return
    assert spec.dtype
    assert all(size >= 0 for size in spec.shape)


def saved_model(folder: Path) -> Path:
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"index")
    return folder


def test_a_saved_model_s_folder_is_packed_the_same_whenever(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "net")
    with model_source.as_file(folder) as packed:
        assert packed.name == "net.zip"
        first = packed.read_bytes()
        with zipfile.ZipFile(packed) as archive:
            assert archive.namelist() == ["saved_model.pb", "variables/variables.index"]
    assert not packed.exists()
    os.utime(folder / "saved_model.pb", (1, 1))
    with model_source.as_file(folder) as packed:
        assert packed.read_bytes() == first


def test_of_a_hugging_face_folder_only_what_is_read_is_packed(tmp_path: Path) -> None:
    folder = tmp_path / "SmolLM2"
    (folder / ".git").mkdir(parents=True)
    read = ("config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    for name in (*read, "tokenizer.json", "pytorch_model.bin", "README.md", ".git/config.json"):
        (folder / name).write_bytes(name.encode())
    with model_source.as_file(folder) as packed:
        assert packed.name == "SmolLM2.zip"
        with zipfile.ZipFile(packed) as archive:
            assert archive.namelist() == [*read, "tokenizer.json"]


def test_another_folder_is_no_model(tmp_path: Path) -> None:
    with (
        pytest.raises(EdgemeterError, match=r"without saved_model\.pb or config\.json"),
        model_source.as_file(tmp_path),
    ):
        pass


def test_a_file_is_itself(tmp_path: Path) -> None:
    with model_source.as_file(tmp_path / "net.onnx") as path:
        assert path == tmp_path / "net.onnx"
