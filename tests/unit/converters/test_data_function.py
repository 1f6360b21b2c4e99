from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edgemeter_converters import datasets
from edgemeter_converters.datasets import refusal
from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.v1 import refusal_pb2

X_TRAIN = np.arange(24, dtype=np.float32).reshape(8, 3)
X_TEST = X_TRAIN[:4] + 100
Y_TRAIN, Y_TEST = np.arange(8) % 3, np.arange(4) % 3
OTHER = np.arange(8, dtype=np.int32)[:, None]


class MapStyle:
    """Such as torch's datasets are: a length and items, no end of an iteration."""

    def __init__(self, x: Any, y: Any) -> None:
        self._samples = list(zip(x, y, strict=True))

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self._samples[index % len(self._samples)]


class Tensor:
    """Shows itself as torch's tensors do: with gradients, that is, which numpy() alone would refuse."""

    def __init__(self, array: Any) -> None:
        self._array = np.asarray(array)
        self.shape = self._array.shape

    def dim(self) -> int:
        return self._array.ndim

    def numpy(self, *, force: bool = False) -> Any:
        assert force
        return self._array


@pytest.fixture
def give(monkeypatch: pytest.MonkeyPatch) -> Callable[..., datasets.Dataset]:
    """The dataset that a function makes which gives `value`, or is `value` where that can be called."""

    def call(value: Any, allowed: tuple[str, ...] = ("given_data",)) -> datasets.Dataset:
        module = ModuleType("given_data")
        module.digits = value if callable(value) else lambda: value  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "given_data", module)
        return datasets.call("given_data:digits", allowed)

    return call


def yielded() -> Iterator[tuple[str, Any]]:
    yield "train", (X_TRAIN, Y_TRAIN)
    yield "test", (X_TEST, Y_TEST)


def yielded_samples() -> Iterator[tuple[str, Any]]:
    yield "training", zip(X_TRAIN, Y_TRAIN, strict=True)
    yield "eval", zip(X_TEST, Y_TEST, strict=True)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(
            {"x_train": X_TRAIN, "y_train": Y_TRAIN, "x_test": X_TEST, "y_test": Y_TEST, "author": "me"},
            id="the arrays of an .npz",
        ),
        pytest.param({"train": (X_TRAIN, Y_TRAIN), "test": (X_TEST, Y_TEST)}, id="splits"),
        pytest.param(
            {"train": (Tensor(X_TRAIN), Tensor(Y_TRAIN)), "validation": (Tensor(X_TEST), Tensor(Y_TEST))},
            id="tensors",
        ),
        pytest.param(
            {"Train": MapStyle(X_TRAIN, Y_TRAIN), "Test": MapStyle(X_TEST, Y_TEST)}, id="torch's datasets"
        ),
        pytest.param(
            {
                "train": MapStyle(map(Tensor, X_TRAIN), Y_TRAIN.tolist()),
                "test": (X_TEST, [0, 1, 2, 0]),
            },
            id="samples that are tensors, and lists",
        ),
        pytest.param(yielded, id="splits, one by one"),
        pytest.param(yielded_samples, id="splits of samples, one by one"),
        pytest.param(
            {"train": (X_TRAIN, Y_TRAIN), "val": (X_TRAIN + 500, Y_TRAIN), "test": (X_TEST, Y_TEST)},
            id="a split that is left out",
        ),
    ],
)
def test_gives_splits(give: Any, given: Any) -> None:
    dataset = give(given)
    np.testing.assert_array_equal(dataset.training.inputs[0], X_TRAIN)
    np.testing.assert_array_equal(dataset.training.labels, Y_TRAIN)
    np.testing.assert_array_equal(dataset.evaluation.inputs[0], X_TEST)
    np.testing.assert_array_equal(dataset.evaluation.labels, Y_TEST)
    assert dataset.classes == 3


def test_several_inputs(give: Any) -> None:
    for samples in ((X_TRAIN, OTHER), None):
        train = (samples, Y_TRAIN) if samples else MapStyle(zip(X_TRAIN, OTHER, strict=True), Y_TRAIN)
        dataset = give({"train": train, "test": ((X_TEST, OTHER[:4]), Y_TEST)})
        assert [array.dtype.name for array in dataset.training.inputs] == ["float32", "int32"]
        np.testing.assert_array_equal(dataset.training.inputs[1], OTHER)


def test_without_labels_and_with_calibration(give: Any) -> None:
    dataset = give({"train": X_TRAIN, "test": X_TEST, "calibration": X_TRAIN[:2]})
    assert dataset.training.labels is None
    assert dataset.calibration_given
    np.testing.assert_array_equal(dataset.calibration[0], X_TRAIN[:2])


def test_a_split_that_is_alone_is_split(give: Any) -> None:
    dataset = give({"train": (X_TRAIN, Y_TRAIN)})
    assert (len(dataset.training), len(dataset.evaluation)) == (6, 2)


def fails() -> None:
    raise OSError("no\nnetwork")


def leaves() -> None:
    sys.exit("enough")


def breaks_off() -> Iterator[tuple[str, Any]]:
    yield "train", (X_TRAIN, Y_TRAIN)
    raise KeyError("gone")


def endless() -> Iterator[int]:
    while True:
        yield 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param(fails, "it failed with OSError: no network", id="an exception"),
        pytest.param(leaves, "it failed with SystemExit: enough", id="an exit"),
        pytest.param(breaks_off, "it failed with KeyError: 'gone'", id="an exception on the way"),
        pytest.param(None, "it gave a NoneType: it is to give splits, as {'train': (x, y)", id="nothing"),
        pytest.param(X_TRAIN, "it gave a ndarray: it is to give splits", id="an array"),
        pytest.param((X_TRAIN, Y_TRAIN), "it gave a tuple: it is to give splits", id="one split"),
        pytest.param("train", "it gave a str: it is to give splits", id="text"),
        pytest.param(endless, "it gave a generator: it is to give splits", id="without end"),
        pytest.param(
            {}, "it gave nothing: splits are train, test or validation, and calibration", id="empty"
        ),
        pytest.param(
            {"left": X_TRAIN}, "it gave 'left': splits are train, test or validation", id="another name"
        ),
        pytest.param(
            {"test": X_TRAIN, "eval": X_TEST}, "two of its splits are one: 'test', 'eval'", id="two for one"
        ),
        pytest.param({"train": [1, 2]}, "sample 0 of 'train' is a int: samples are (x, y)", id="no samples"),
        pytest.param({"train": [], "test": []}, "'train' has no samples", id="no sample"),
        pytest.param(
            {"train": [(X_TRAIN, 0), (X_TRAIN[:4], 1)]},
            "sample 1 of 'train' has shape [(4, 3)], the first [(8, 3)]",
            id="samples of two shapes",
        ),
        pytest.param(
            {"train": (X_TRAIN, Y_TRAIN), "test": (X_TRAIN[3:5], Y_TEST[:2])},
            "2 of 8 samples in 'x_train' are evaluation samples too (the first: number 3)",
            id="training is evaluation",
        ),
        pytest.param(
            {"train": (["a", "b"], [0, 1])},
            "'x' holds <U1: inputs are integers, floats or booleans",
            id="text",
        ),
        pytest.param(
            {"train": ([[1], [2, 3]], [0, 1])},
            "it failed with ValueError: setting an array element",
            id="ragged",
        ),
    ],
)
def test_refuses_what_is_no_dataset(give: Any, given: Any, message: str) -> None:
    with pytest.raises(ConversionError) as refused:
        give(given)
    assert refused.value.message.startswith(f"given_data:digits: {message}")
    assert "\n" not in refused.value.message
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_NOT_A_DATASET


def test_no_more_is_taken_than_memory_holds(give: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusal, "MAX_BYTES", 10_000)
    samples = (((np.full(100, number)), 0) for number in endless())
    with pytest.raises(ConversionError, match="its samples take 10,400 bytes, at most 10,000 are read"):
        give({"train": samples})


TRAP = "raise RuntimeError('this code was not to run')"


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that must not be imported."""
    (tmp_path / "trapped").mkdir()
    for name in ("__init__.py", "data.py"):
        (tmp_path / "trapped" / name).write_text(TRAP)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    "allowed", [(), ("other",), ("trap",), ("trapped.date",), ("trapped.data.deeper",), ("",)]
)
def test_code_that_nobody_allowed_is_not_imported(trap: None, allowed: tuple[str, ...]) -> None:
    with pytest.raises(ConversionError) as refused:
        datasets.call("trapped.data:digits", allowed)
    assert refused.value.message == (
        "trapped.data:digits: loading it runs its package's code, "
        "which this coordinator was not told to trust; its operator may start it with --allow-code trapped"
    )
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL


@pytest.mark.parametrize("allowed", [("trapped",), ("trapped.data",), ("other", "trapped")])
def test_what_was_allowed_is_imported(trap: None, allowed: tuple[str, ...]) -> None:
    with pytest.raises(ConversionError, match="it failed with RuntimeError: this code was not to run"):
        datasets.call("trapped.data:digits", allowed)


def test_what_is_not_there(give: Any) -> None:
    with pytest.raises(
        ConversionError, match="it failed with ModuleNotFoundError: No module named 'nowhere'"
    ):
        datasets.call("nowhere:digits", ("nowhere",))
    give({"train": (X_TRAIN, Y_TRAIN)})
    with pytest.raises(ConversionError, match=r"it failed with AttributeError: .* no attribute 'letters'"):
        datasets.call("given_data:letters", ("given_data",))


@pytest.mark.parametrize(
    "text", ["", "a", "a:", ":a", "a:b:c", "a.b", "os.path:join()", "a-b:c", "a..b:c", "ä:b"]
)
def test_what_is_no_function(text: str) -> None:
    with pytest.raises(ConversionError, match=r"a function is written package\.module:function"):
        datasets.call(text, ("a",))
