"""How files in a folder tell what they hold: kinds by suffix, splits and classes by name. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath, PurePosixPath
from types import MappingProxyType

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".webp"})

TABLE_SUFFIXES = frozenset({".arrow", ".parquet"})

STATE = "state.json"
"""Beside the tables that `datasets.Dataset.save_to_disk` wrote: it lists them."""

TRAIN, TEST, VALIDATION = "train", "test", "validation"

_SPLITS = MappingProxyType(
    {
        **dict.fromkeys(("train", "training"), TRAIN),
        **dict.fromkeys(("test", "testing", "eval", "evaluation"), TEST),
        **dict.fromkeys(("val", "valid", "validation", "dev"), VALIDATION),
    }
)
"""The names that torchvision's, Keras's and Hugging Face's folders go by."""


def is_picture(path: PurePath) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES


def is_table(path: PurePath) -> bool:
    return path.suffix.lower() in TABLE_SUFFIXES


def split_of(path: PurePosixPath) -> str:
    """TRAIN, TEST or VALIDATION, by a folder's name or the first word of the file's; empty for neither.

    "train/0000.parquet", "data/test-00000-of-00001.parquet", "digits/validation/data-00000-of-00002.arrow".
    """
    for part in path.parent.parts:
        if part.lower() in _SPLITS:
            return _SPLITS[part.lower()]
    first_word = re.split(r"[^a-z]", path.name.lower(), maxsplit=1)[0]
    return _SPLITS.get(first_word, "")


def split_of_word(word: str) -> str:
    """TRAIN, TEST or VALIDATION; empty for any other word."""
    return _SPLITS.get(word.lower(), "")


def array_names(splits: Iterable[str]) -> dict[str, str]:
    """What becomes of each split: the name that its samples go by, "x_train", "x_test" or "x".

    Where there is a test split, one for validation is left out; where there is none, it evaluates. A split
    that is alone is the whole, and so are files that name no split.

    Raises:
        ValueError: some files name a split and some don't, or there is one to validate and one to test, and
            none to train.
    """
    there = set(splits)
    if len(there) == 1:
        return dict.fromkeys(there, "x")
    if "" in there:
        named = sorted(there - {""})
        raise ValueError(
            f"some of its files belong to {named[0]!r} and some to no split: name a split for each"
        )
    if TRAIN not in there:
        raise ValueError("it has splits to validate and to test with, and none to train with")
    return {TRAIN: "x_train", (TEST if TEST in there else VALIDATION): "x_test"}


def without_common_folder(paths: Iterable[PurePosixPath]) -> PurePosixPath:
    """The folders that all of `paths` share and that tell no class: a zip file often holds one folder that
    holds all. The last folder above a picture is its class, and train and test are splits."""
    folders = [path.parent.parts for path in paths]
    depth = 0
    while (
        all(len(parts) > depth + 1 for parts in folders)
        and len({parts[depth] for parts in folders}) == 1
        and folders[0][depth].lower() not in _SPLITS
    ):
        depth += 1
    return PurePosixPath(*folders[0][:depth])


def split_and_class(path: PurePosixPath) -> tuple[str, str]:
    """Of a picture, by its path below the common folder: "train/cats/a.png", "cats/a.png", "cats/may/a.png".

    Raises:
        ValueError: it is in no class folder.
    """
    folders = path.parent.parts
    split = _SPLITS.get(folders[0].lower(), "") if folders else ""
    classes = folders[1:] if split else folders
    if not classes:
        raise ValueError(
            f"picture '{path}' is in no class folder: "
            "pictures lie in CLASS/, or in train/CLASS/ and test/CLASS/"
        )
    return split, classes[0]
