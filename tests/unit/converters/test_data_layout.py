from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from edgemeter_converters.datasets import layout


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train-00000-of-00001.parquet", "train"),
        ("train.arrow", "train"),
        ("TEST_2.parquet", "test"),
        ("data/validation-00000-of-00002.parquet", "validation"),
        ("digits/Training/data-00000-of-00001.arrow", "train"),
        ("val/0000.parquet", "validation"),
        # the folder says more than the file
        ("test/train.parquet", "test"),
        # words that only begin like a split
        ("trains.parquet", ""),
        ("testimony/0.parquet", ""),
        ("data-00000-of-00001.arrow", ""),
        ("my-train.parquet", ""),
    ],
)
def test_split_of(path: str, split: str) -> None:
    assert layout.split_of(PurePosixPath(path)) == split


@pytest.mark.parametrize(
    ("splits", "names"),
    [
        ({""}, {"": "x"}),
        ({"train"}, {"train": "x"}),
        ({"test"}, {"test": "x"}),
        ({"train", "test"}, {"train": "x_train", "test": "x_test"}),
        ({"train", "validation"}, {"train": "x_train", "validation": "x_test"}),
        ({"train", "validation", "test"}, {"train": "x_train", "test": "x_test"}),
    ],
)
def test_array_names(splits: set[str], names: dict[str, str]) -> None:
    assert layout.array_names(splits) == names


@pytest.mark.parametrize(
    ("paths", "top"),
    [
        (["cats/1.png", "dogs/1.png"], "."),
        (["pets/cats/1.png", "pets/dogs/1.png"], "pets"),
        (["a/b/cats/1.png", "a/b/dogs/1.png"], "a/b"),
        # a split, not a folder of all
        (["train/cats/1.png", "train/dogs/1.png"], "."),
        (["pets/train/cats/1.png", "pets/test/cats/1.png"], "pets"),
        # the last folder is the class, though all share it
        (["cats/1.png", "cats/2.png"], "."),
        (["pets/cats/1.png", "pets/cats/2.png"], "pets"),
        # one lies higher than the others
        (["pets/cats/1.png", "pets/2.png"], "."),
    ],
)
def test_without_common_folder(paths: list[str], top: str) -> None:
    assert layout.without_common_folder(map(PurePosixPath, paths)) == PurePosixPath(top)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("cats/1.png", ("", "cats")),
        ("cats/may/1.png", ("", "cats")),
        ("Train/cats/1.png", ("train", "cats")),
        ("val/cats/may/1.png", ("validation", "cats")),
    ],
)
def test_split_and_class(path: str, expected: tuple[str, str]) -> None:
    assert layout.split_and_class(PurePosixPath(path)) == expected


@pytest.mark.parametrize("path", ["1.png", "train/1.png"])
def test_a_picture_without_a_class(path: str) -> None:
    with pytest.raises(ValueError, match=rf"picture '{path}' is in no class folder"):
        layout.split_and_class(PurePosixPath(path))
