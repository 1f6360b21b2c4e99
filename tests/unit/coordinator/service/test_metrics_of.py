"""Outputs that boards send are scored, or refused with the reason; nothing in them is run or believed."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemeter_coordinator.service import scoring
from edgemeter_coordinator.service.scoring import UnscorableError, metrics_of

LABELS = np.array([0, 1, 2, 0, 1])
RIGHT = np.eye(3, dtype=np.float32)[LABELS]


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path("/nonexistent/trap").write_text, ("sprung",)


@pytest.fixture
def labels_path(tmp_path: Path) -> Path:
    np.savez(tmp_path / "labels.npz", labels=LABELS)
    return tmp_path / "labels.npz"


def outputs(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "outputs.npz", **arrays)
    return folder / "outputs.npz"


def test_scored(tmp_path: Path, labels_path: Path) -> None:
    wrong = RIGHT.copy()
    wrong[0] = [0, 0, 1]
    quality, *_ = metrics_of(
        outputs_path=outputs(tmp_path, output_0=wrong),
        labels_path=labels_path,
        task_text="classification",
        evaluated_samples=5,
    )
    assert (quality.metric, quality.value, quality.samples, quality.against) == ("top1", 0.8, 5, "labels")
    assert quality.ci95_low < 0.8 < quality.ci95_high


def test_only_the_samples_that_were_evaluated_count(tmp_path: Path, labels_path: Path) -> None:
    quality, *_ = metrics_of(
        outputs_path=outputs(tmp_path, output_0=RIGHT[:2]),
        labels_path=labels_path,
        task_text="classification",
        evaluated_samples=2,
    )
    assert (quality.value, quality.samples) == (1.0, 2)


def test_against_the_originals_outputs_where_there_are_no_labels(tmp_path: Path) -> None:
    other = RIGHT.copy()
    other[0] = [0, 0, 1]
    np.savez(tmp_path / "reference.npz", output_0=other)
    (quality,) = metrics_of(
        outputs_path=outputs(tmp_path, output_0=RIGHT[:4]),
        reference_path=tmp_path / "reference.npz",
        task_text="classification",
        evaluated_samples=4,
    )
    assert (quality.metric, quality.value, quality.against) == ("agreement", 0.75, "original")


def test_outputs_of_another_shape_than_the_originals_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "reference.npz", output_0=RIGHT)
    with pytest.raises(UnscorableError, match=r"the original's of \[\(5, 3\)\]"):
        metrics_of(
            outputs_path=outputs(tmp_path, output_0=RIGHT[:, :2]),
            reference_path=tmp_path / "reference.npz",
            task_text="classification",
            evaluated_samples=5,
        )


@pytest.mark.parametrize(
    ("arrays", "samples", "said"),
    [
        pytest.param({"output_0": RIGHT}, 4, "4 samples were evaluated", id="more rows than evaluated"),
        pytest.param(
            {"output_0": np.tile(RIGHT, (2, 1))}, 10, "labels are known of 5", id="more than labels"
        ),
        pytest.param({"scores": RIGHT}, 5, "scores", id="another name"),
        pytest.param({"output_0": RIGHT, "output_2": RIGHT}, 5, "output_2", id="a gap"),
        pytest.param({"output_0": RIGHT, "output_1": RIGHT}, 5, "one output", id="too many for the task"),
        pytest.param({"output_0": RIGHT[:, :2]}, 5, "classes", id="fewer classes than labels"),
        pytest.param({"output_0": RIGHT * np.nan}, 5, "NaN", id="no numbers"),
        pytest.param({"output_0": np.float32(1)}, 5, "shape ()", id="a scalar"),
        pytest.param({}, 5, "nothing", id="empty"),
        pytest.param({"output_0": np.array([Trap()] * 5)}, 5, "can't be read", id="pickled objects"),
    ],
)
def test_refused(tmp_path: Path, labels_path: Path, arrays: dict[str, Any], samples: int, said: str) -> None:
    with pytest.raises(UnscorableError) as caught:
        metrics_of(
            outputs_path=outputs(tmp_path, **arrays),
            labels_path=labels_path,
            task_text="classification",
            evaluated_samples=samples,
        )
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no archive", id="text"),
        pytest.param(pickle.dumps(Trap()), id="a pickle"),
        pytest.param(b"PK\x03\x04 truncated", id="the start of an archive"),
    ],
)
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, labels_path: Path, content: bytes) -> None:
    path = tmp_path / "outputs.npz"
    path.write_bytes(content)
    with pytest.raises(UnscorableError):
        metrics_of(
            outputs_path=path, labels_path=labels_path, task_text="classification", evaluated_samples=5
        )


def test_damaged_bytes_are_refused(tmp_path: Path, labels_path: Path) -> None:
    whole = outputs(tmp_path, output_0=RIGHT).read_bytes()
    refused = 0
    for position in range(0, len(whole), 7):
        damaged = tmp_path / "damaged.npz"
        damaged.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            metrics_of(
                outputs_path=damaged,
                labels_path=labels_path,
                task_text="classification",
                evaluated_samples=5,
            )
        except UnscorableError:
            refused += 1
    assert refused > 10


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999, 3)}", id="too large"
        ),
        pytest.param(
            "{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000, 3)}", id="larger than is there"
        ),
        pytest.param("{'descr': '<f4', 'fortran_order': False, 'shape': (-5, 3)}", id="negative"),
        pytest.param("{'descr': '|O', 'fortran_order': False, 'shape': (5, 3)}", id="objects"),
        pytest.param("__import__('os').abort()", id="code"),
        pytest.param("{{{", id="no Python"),
    ],
)
def test_an_array_with_a_made_up_header_is_refused(tmp_path: Path, labels_path: Path, header: str) -> None:
    text = header.ljust(117).encode() + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(60)
    with zipfile.ZipFile(tmp_path / "outputs.npz", "w") as archive:
        archive.writestr("output_0.npy", array)
    with pytest.raises(UnscorableError):
        metrics_of(
            outputs_path=tmp_path / "outputs.npz",
            labels_path=labels_path,
            task_text="classification",
            evaluated_samples=5,
        )


def test_an_archive_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, labels_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "outputs.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("output_0.npy", b"\0" * 2_000_000)
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(scoring, "MAX_BYTES", 1_000_000)
    with pytest.raises(UnscorableError, match="2000000 bytes"):
        metrics_of(
            outputs_path=path, labels_path=labels_path, task_text="classification", evaluated_samples=5
        )
