"""Folders of tables, whose names tell splits."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from edgemeter_converters import datasets
from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.v1 import refusal_pb2
from tests.unit.converters.table_files import arrow_stream, every, image_column, parquet, pixels, png

NOT_A_DATASET = refusal_pb2.REFUSAL_REASON_NOT_A_DATASET
TOO_LARGE = refusal_pb2.REFUSAL_REASON_TOO_LARGE


def folder(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def numbers(first: int, count: int, **columns: Any) -> pa.Table:
    return pa.table({"x": range(first, first + count), "label": [n % 2 for n in range(count)], **columns})


TRAIN, TEST, OTHER = numbers(0, 8), numbers(100, 4), numbers(200, 6)


def state(*names: str) -> bytes:
    return json.dumps({"_data_files": [{"filename": name} for name in names], "_split": "train"}).encode()


@pytest.mark.parametrize(
    ("files", "training", "evaluation"),
    [
        pytest.param(
            {
                "data/train-00000-of-00002.parquet": parquet(TRAIN),
                "data/train-00001-of-00002.parquet": parquet(OTHER),
                "data/test-00000-of-00001.parquet": parquet(TEST),
                "README.md": b"# Digits",
            },
            [*range(8), *range(200, 206)],
            [*range(100, 104)],
            id="by their names",
        ),
        pytest.param(
            {
                "train/0000.parquet": parquet(TRAIN),
                "validation/0000.parquet": parquet(OTHER),
                "test/0000.parquet": parquet(TEST),
            },
            [*range(8)],
            [*range(100, 104)],
            id="by their folders",
        ),
        pytest.param(
            {
                "d/dataset_dict.json": b'{"splits": ["train", "validation"]}',
                "d/train/data-00000-of-00001.arrow": arrow_stream(TRAIN),
                "d/train/cache-0123.arrow": arrow_stream(OTHER),
                "d/train/state.json": state("data-00000-of-00001.arrow"),
                "d/validation/data-00000-of-00001.arrow": arrow_stream(TEST),
                "d/validation/state.json": state("data-00000-of-00001.arrow"),
            },
            [*range(8)],
            [*range(100, 104)],
            id="as save_to_disk leaves a DatasetDict",
        ),
    ],
)
def test_folders_of_splits(
    files: dict[str, bytes], training: list[int], evaluation: list[int], tmp_path: Path
) -> None:
    dataset = datasets.read(folder(tmp_path / "blob", files), "d.zip")
    assert dataset.training.inputs[0][:, 0].tolist() == training
    assert dataset.evaluation.inputs[0][:, 0].tolist() == evaluation
    assert dataset.classes == 2


@pytest.mark.parametrize("name", ["data-00000-of-00001.arrow", "train-00000-of-00001.arrow"])
def test_a_folder_of_one_split_is_split(name: str, tmp_path: Path) -> None:
    files = {name: arrow_stream(OTHER), "state.json": state(name), "cache-1.arrow": arrow_stream(TRAIN)}
    dataset = datasets.read(folder(tmp_path / "blob", files), "d.zip")
    assert (len(dataset.training), len(dataset.evaluation)) == (5, 1)
    assert every(dataset).min() == 200


def test_pictures_are_grey_only_where_all_splits_are(tmp_path: Path) -> None:
    tables = {
        "train.parquet": pa.table({"image": image_column([png(1, channels=1), png(2, channels=1)])}),
        "test.parquet": pa.table({"image": image_column([png(3)])}),
    }
    files = {name: parquet(table) for name, table in tables.items()}
    dataset = datasets.read(folder(tmp_path / "blob", files), "d.zip")
    assert dataset.training.inputs[0].shape == (2, 5, 4, 3)
    np.testing.assert_array_equal(dataset.evaluation.inputs[0][0], pixels(3))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param(
            {"train.parquet": parquet(TRAIN), "test.parquet": parquet(TRAIN.slice(5, 2))},
            "2 of 8 samples in 'x_train' are evaluation samples too (the first: number 5)",
            id="training is evaluation",
        ),
        pytest.param(
            {"train.parquet": parquet(TRAIN), "test.parquet": parquet(TEST.drop(["label"]))},
            "its splits have different columns: x, label; x",
            id="splits of other columns",
        ),
        pytest.param(
            {"a.parquet": parquet(TRAIN), "b.parquet": parquet(TEST.drop(["label"]))},
            "its files have different columns",
            id="files of other columns",
        ),
        pytest.param(
            {"a.parquet": parquet(TRAIN), "train.parquet": parquet(TEST)},
            "some of its files belong to 'train' and some to no split: name a split for each",
            id="half of them named",
        ),
        pytest.param(
            {"validation.parquet": parquet(TRAIN), "test.parquet": parquet(TEST)},
            "it has splits to validate and to test with, and none to train with",
            id="nothing to train with",
        ),
        pytest.param(
            {"data-0.arrow": arrow_stream(TRAIN), "state.json": state("data-0.arrow", "data-1.arrow")},
            "'state.json' lists 'data-1.arrow', which is not there",
            id="a file missing",
        ),
        pytest.param(
            {"data-0.arrow": arrow_stream(TRAIN), "state.json": b"[" * 100_000},
            "'state.json' in it is no JSON",
            id="a state that is none",
        ),
        pytest.param(
            {"train.parquet": parquet(TRAIN)[:-9], "test.parquet": parquet(TEST)},
            "'train.parquet' in it is no Parquet file, or a damaged one (",
            id="cut short",
        ),
    ],
)
def test_refuses_folders(files: dict[str, bytes], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError) as refused:
        datasets.read(folder(tmp_path / "blob", files), "d.zip")
    assert refused.value.message.startswith(f"d.zip: {message}")
    assert refused.value.reason == NOT_A_DATASET
