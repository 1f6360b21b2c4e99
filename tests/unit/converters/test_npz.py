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
from edgemeter_converters.datasets import npz, splits
from edgemeter_converters.datasets.dataset import Samples
from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.v1 import refusal_pb2


def numbered(first: int, samples: int) -> np.ndarray:
    """Samples of (2, 3), all different."""
    return np.arange(first * 6, (first + samples) * 6, dtype=np.float32).reshape(samples, 2, 3)


PARTED: dict[str, Any] = {
    "x_train": numbered(0, 8),
    "y_train": np.arange(8) % 3,
    "x_test": numbered(8, 4),
    "y_test": np.arange(4) % 3,
}


def test_keras_names_give_the_splits_as_they_are() -> None:
    dataset = npz.from_arrays(PARTED)
    assert (len(dataset.training), len(dataset.evaluation), dataset.classes) == (8, 4, 3)
    assert dataset.evaluation.labels is not None
    assert dataset.evaluation.labels.dtype == np.int64
    np.testing.assert_array_equal(dataset.evaluation.inputs[0], PARTED["x_test"])
    # All of training fits into the calibration split.
    np.testing.assert_array_equal(np.sort(dataset.calibration[0], axis=0), PARTED["x_train"])


def test_one_array_is_split_80_to_20_the_same_way_each_time() -> None:
    x, y = numbered(0, 50), np.arange(50)
    first, second = npz.from_arrays({"x": x, "y": y}), npz.from_arrays({"x": x, "y": y})
    assert (len(first.training), len(first.evaluation)) == (40, 10)
    np.testing.assert_array_equal(first.evaluation.inputs[0], second.evaluation.inputs[0])
    assert first.evaluation.labels is not None
    np.testing.assert_array_equal(x[first.evaluation.labels], first.evaluation.inputs[0])


@given(st.integers(2, 300))
def test_a_split_leaves_nothing_out_and_takes_nothing_twice(samples: int) -> None:
    whole = Samples(inputs=(np.arange(samples)[:, None],))
    training, evaluation = splits.split(whole)
    together = np.concatenate([training.inputs[0], evaluation.inputs[0]])
    assert sorted(together[:, 0]) == list(range(samples))
    assert len(training) >= 1
    assert len(evaluation) >= 1


def test_the_split_is_pinned() -> None:
    # Were this to change, every variant would be built anew and results before and after not compare.
    _, evaluation = splits.split(Samples(inputs=(np.arange(20)[:, None],)))
    assert evaluation.inputs[0][:, 0].tolist() == [11, 12, 14, 16]


def test_no_labels() -> None:
    dataset = npz.from_arrays({"x": numbered(0, 10)})
    assert (dataset.classes, dataset.evaluation.labels) == (0, None)


def test_labels_in_a_column() -> None:
    dataset = npz.from_arrays({**PARTED, "y_test": PARTED["y_test"][:, None].astype(np.uint8)})
    assert dataset.evaluation.labels is not None
    assert dataset.evaluation.labels.shape == (4,)


def test_calibration_is_at_most_200_different_samples_and_none_of_evaluation() -> None:
    train = np.concatenate([numbered(0, 300), numbered(0, 300), numbered(1000, 50)])
    dataset = npz.from_arrays({"x_train": train, "x_test": numbered(1000, 50)})
    calibration = {sample.tobytes() for sample in dataset.calibration[0]}
    assert len(calibration) == len(dataset.calibration[0]) == 200
    assert not calibration & {sample.tobytes() for sample in dataset.evaluation.inputs[0]}


def test_calibration_is_empty_where_training_is_all_evaluation() -> None:
    dataset = npz.from_arrays({"x_train": numbered(0, 5), "x_test": numbered(0, 5)})
    assert dataset.calibration[0].shape == (0, 2, 3)


def test_given_calibration_is_taken_whole() -> None:
    dataset = npz.from_arrays({**PARTED, "x_calibration": numbered(100, 3)})
    np.testing.assert_array_equal(dataset.calibration[0], numbered(100, 3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"x_calibration": numbered(10, 5)},
            "2 of 5 samples in 'x_calibration' are evaluation samples too (the first: number 0); "
            "quality would be flattered: remove them",
            id="calibration overlaps evaluation",
        ),
        pytest.param(
            {"x_calibration": numbered(100, 5).astype(np.float64)},
            "'x_calibration' is float64 of shape (2, 3) a sample, "
            "evaluation is float32 of shape (2, 3): they must be alike",
            id="calibration of another type",
        ),
        pytest.param(
            {"x_test": None},
            "no array 'x_test' (there: 'x_train', 'y_train', 'y_test'); "
            "save x_train, y_train, x_test and y_test, or x and y",
            id="an array missing",
        ),
        pytest.param(
            {"x": numbered(0, 5)},
            "it has 'x' as well as 'x_train' or 'x_test': keep one way of naming the splits",
            id="two ways",
        ),
        pytest.param({"y_test": np.arange(3)}, "'x_test' has 4 samples, 'y_test' has 3", id="lengths"),
        pytest.param(
            {"y_test": np.eye(4)},
            "'y_test' is float64 of shape (4, 4): labels are integers of shape (samples,); "
            "for one-hot labels save labels.argmax(axis=1)",
            id="one-hot",
        ),
        pytest.param(
            {"y_test": np.zeros(4)},
            "'y_test' is float64 of shape (4,): labels are integers of shape (samples,)",
            id="float labels",
        ),
        pytest.param(
            {"y_test": np.array([0, 1, -1, 0])},
            "'y_test' goes from -1 to 1: labels count from 0",
            id="negative",
        ),
        pytest.param(
            {"x_test": np.where(numbered(8, 4) == 60, np.nan, numbered(8, 4))},
            "'x_test' holds NaN or infinity, first in sample 2",
            id="NaN",
        ),
        pytest.param(
            {"x_test": np.zeros((0, 2, 3))}, "'x_test' is empty: its shape is (0, 2, 3)", id="empty"
        ),
        pytest.param(
            {"x_test": np.zeros(4)}, "'x_test' has shape (4,): inputs are (samples, …)", id="no dimensions"
        ),
        pytest.param(
            {"x_test": np.full((4, 2), "a")},
            "'x_test' holds <U1: inputs are integers, floats or booleans",
            id="text",
        ),
        pytest.param(
            {"x_test": np.zeros((4, 3, 2), np.float32)},
            "'x_train' is float32 of shape (2, 3) a sample, 'x_test' is float32 of shape (3, 2): "
            "they must be alike",
            id="splits of two shapes",
        ),
    ],
)
def test_refuses_arrays(changes: dict[str, Any], message: str) -> None:
    arrays = {name: array for name, array in {**PARTED, **changes}.items() if array is not None}
    with pytest.raises(ValueError, match=r".") as refused:
        npz.from_arrays(arrays)
    assert str(refused.value) == message


def test_one_sample_can_not_be_split() -> None:
    with pytest.raises(ValueError, match="'x' has 1 sample: at least 2 are needed"):
        npz.from_arrays({"x": numbered(0, 1)})


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
    with pytest.raises(ConversionError, match=r"d\.csv: data is read from \.npz files"):
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
    monkeypatch.setattr(npz, "MAX_BYTES", 100_000)
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


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(numbered(1, 3), id="other numbers"),
        pytest.param(numbered(0, 3)[::-1], id="another order"),
        pytest.param(numbered(0, 3).reshape(3, 3, 2), id="another shape"),
        pytest.param(numbered(0, 3).astype(np.float64), id="another type"),
    ],
)
def test_digests_tell_splits_apart(other: np.ndarray) -> None:
    assert datasets.inputs_digest((other,)) != datasets.inputs_digest((numbered(0, 3),))


def test_digests_do_not_depend_on_how_memory_is_laid_out() -> None:
    array = numbered(0, 4)
    for same in (np.asfortranarray(array), array.astype(">f4"), np.repeat(array, 2, axis=0)[::2]):
        assert datasets.inputs_digest((same,)) == datasets.inputs_digest((array,))


def test_labels_count_in_the_digest_of_samples() -> None:
    inputs = (numbered(0, 2),)
    digests = {
        datasets.samples_digest(Samples(inputs=inputs)),
        datasets.samples_digest(Samples(inputs=inputs, labels=np.array([0, 1]))),
        datasets.samples_digest(Samples(inputs=inputs, labels=np.array([1, 0]))),
    }
    assert len(digests) == 3
