from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_converters import datasets
from edgemeter_converters.datasets import named_arrays, refusal
from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.v1 import lab_pb2, refusal_pb2


def numbered(first: int, samples: int) -> np.ndarray:
    """Samples of (2, 3), all different."""
    return np.arange(first * 6, (first + samples) * 6, dtype=np.float32).reshape(samples, 2, 3)


PARTED: dict[str, Any] = {
    "x_train": numbered(0, 8),
    "y_train": np.arange(8) % 3,
    "x_test": numbered(8, 4),
    "y_test": np.arange(4) % 3,
}


def write(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def npy(array: np.ndarray, *, pickled: bool = False) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=pickled)
    return stream.getvalue()


def boastful(shape: tuple[int, ...]) -> bytes:
    """An array whose header says far more than follows."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 64


@pytest.mark.parametrize(
    ("members", "message"),
    [
        pytest.param(
            {"x.npy": npy(np.array([{}, []], dtype=object), pickled=True)},
            "d.npz: 'x' holds Python objects, which would need unpickling: save plain numbers",
            id="a pickle",
        ),
        pytest.param(
            {"x.npy": boastful((10**9, 10**3))},
            "d.npz: 'x' is cut short: its header says (1000000000, 1000) of float32",
            id="a header that would allocate 4 TB",
        ),
        pytest.param(
            {"x.npy": b"no array"},
            "d.npz: an array can't be read (the magic string is not correct;",
            id="no array",
        ),
        pytest.param(
            {"readme.txt": b"hello"},
            "d.npz: no array 'x_train' and no array 'x_test' (there: none)",
            id="a zip",
        ),
    ],
)
def test_refuses_files(members: dict[str, bytes], message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "blob", members)
    with pytest.raises(ConversionError) as refused:
        datasets.read(path, "d.npz")
    assert refused.value.message.startswith(message)
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_NOT_A_DATASET


def test_refuses_what_is_no_npz(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"digits")
    with pytest.raises(ConversionError, match=r"d\.npz: it is no \.npz file") as refused:
        datasets.read(path, "d.npz")
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_NOT_A_DATASET
    with pytest.raises(ConversionError, match=r"d\.csv: data is read from \.npz, \.npy, \.zip, "):
        datasets.read(path, "d.csv")
    with pytest.raises(ConversionError, match=r"d\.npz: there is no such file"):
        datasets.read(tmp_path / "nowhere", "d.npz")


@given(cut=st.floats(0, 1, exclude_max=True))
def test_refuses_a_truncated_file(cut: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("cut")
    np.savez(folder / "whole.npz", **PARTED)
    content = (folder / "whole.npz").read_bytes()
    (folder / "cut").write_bytes(content[: int(len(content) * cut)])
    with pytest.raises(ConversionError) as refused:
        datasets.read(folder / "cut", "d.npz")
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_NOT_A_DATASET


def test_refuses_what_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "d.npz", x=np.zeros((100, 1000)))
    monkeypatch.setattr(refusal, "MAX_BYTES", 100_000)
    with pytest.raises(
        ConversionError, match=r"d\.npz: its arrays take 800,128 bytes, at most 100,000"
    ) as refused:
        datasets.read(tmp_path / "d.npz", "d.npz")
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_TOO_LARGE


def test_reads_what_it_is_given_and_ignores_other_arrays(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "d.npz", **PARTED, names=np.array(["a"]))
    assert len(datasets.read(tmp_path / "d.npz", "D.NPZ").training) == 8


def test_derived_files_are_the_same_bytes_for_the_same_arrays(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    for name in ("one.npz", "two.npz"):
        datasets.write_inputs(tmp_path / name, (pixels,))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with np.load(tmp_path / "one.npz") as written:
        assert written.files == ["input_0"]
        assert written["input_0"].dtype == np.uint8
    datasets.write_labels(tmp_path / "labels.npz", np.array([1, 2]))
    with np.load(tmp_path / "labels.npz") as written:
        assert written["labels"].tolist() == [1, 2]


def same(first: datasets.Dataset, second: datasets.Dataset) -> bool:
    return (
        datasets.samples_digest(first.training) == datasets.samples_digest(second.training)
        and datasets.samples_digest(first.evaluation) == datasets.samples_digest(second.evaluation)
        and datasets.inputs_digest(first.calibration) == datasets.inputs_digest(second.calibration)
        and (first.classes, first.class_names, first.calibration_given)
        == (second.classes, second.class_names, second.calibration_given)
    )


@given(
    samples=st.integers(4, 300),
    inputs=st.integers(1, 3),
    dtype=st.sampled_from([np.uint8, np.float32, np.float64, np.int16]),
    labelled=st.booleans(),
    calibrated=st.booleans(),
    named=st.booleans(),
)
def test_what_was_written_is_read_as_the_same(
    samples: int,
    inputs: int,
    dtype: type,
    labelled: bool,
    calibrated: bool,
    named: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    random = np.random.RandomState(samples)
    arrays: dict[str, np.ndarray] = {
        f"x_{number}": random.randint(0, 256, (samples, 9, number + 1)).astype(dtype)
        for number in range(inputs)
    }
    if labelled:
        arrays["y"] = np.arange(samples) % 3
        if named:
            arrays["class_names"] = np.array(["cat", "d\u00f6g", "emu", "gnu"])
    if calibrated:
        arrays |= {
            f"x_calibration_{number}": random.randint(0, 256, (7, 9, number + 1)).astype(dtype)
            for number in range(inputs)
        }
    dataset = named_arrays.from_arrays(arrays)
    folder = tmp_path_factory.mktemp("canonical")
    datasets.write(folder / "first", dataset)
    again = datasets.read(folder / "first", "canonical.npz")
    assert same(dataset, again)
    datasets.write(folder / "second", again)
    assert (folder / "first").read_bytes() == (folder / "second").read_bytes()


def test_bytes_do_not_depend_on_how_memory_is_laid_out(tmp_path: Path) -> None:
    x = np.arange(24, dtype=np.int32).reshape(4, 3, 2)
    for name, array in (("plain", x), ("other", np.asfortranarray(x).astype(">i4"))):
        datasets.write_inputs(tmp_path / name, (array,))
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "other").read_bytes()


def test_an_npy_file_is_inputs_of_which_a_fifth_evaluates(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", numbered(0, 50))
    dataset = datasets.read(tmp_path / "d.npy", "d.npy")
    assert (len(dataset.training), len(dataset.evaluation), dataset.classes) == (40, 10, 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "d.npy: an array can't be read (EOF", id="empty"),
        pytest.param(b"digits" * 9, "d.npy: an array can't be read (the magic string", id="text"),
        pytest.param(
            boastful((10**9, 10**3)),
            "d.npy: its array is cut short: its header says (1000000000, 1000) of float32",
            id="a header that would allocate 4 TB",
        ),
        pytest.param(
            npy(np.array([{}, []], dtype=object), pickled=True),
            "d.npy: its array holds Python objects, which would need unpickling",
            id="a pickle",
        ),
        pytest.param(npy(np.zeros(5)), "d.npy: 'x' has shape (5,): inputs are (samples", id="no samples"),
    ],
)
def test_refuses_npy_files(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(content)
    with pytest.raises(ConversionError) as refused:
        datasets.read(tmp_path / "blob", "d.npy")
    assert refused.value.message.startswith(message)
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_NOT_A_DATASET


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        pytest.param(
            lab_pb2.DataReading(image_height=8, image_width=8),
            "d.npz: it holds no pictures: leave --image-size out",
            id="a picture size",
        ),
        pytest.param(
            lab_pb2.DataReading(label_column="y"),
            "d.npz: it has no columns: leave --input-column and --label-column out",
            id="a label column",
        ),
    ],
)
def test_refuses_to_be_told_what_it_can_not_use(
    reading: lab_pb2.DataReading, message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "d.npz", **PARTED)
    with pytest.raises(ConversionError) as refused:
        datasets.read(tmp_path / "d.npz", "d.npz", reading)
    assert refused.value.message == message


@given(data=st.data())
def test_a_damaged_byte_is_refused_or_harmless(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    np.savez_compressed(folder / "whole.npz", **PARTED)
    content = bytearray((folder / "whole.npz").read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    (folder / "damaged").write_bytes(content)
    try:
        datasets.read(folder / "damaged", "d.npz")
    except ConversionError as error:
        assert "\n" not in error.message  # noqa: PT017
