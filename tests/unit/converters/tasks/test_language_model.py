from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_converters import tasks
from edgemeter_converters.tasks import Truth
from edgemeter_protos.v1 import variant_pb2

TASK = tasks.task("language-model")


def _signature(*outputs: tuple[str, str, tuple[int, ...]]) -> variant_pb2.Signature:
    return variant_pb2.Signature(
        outputs=[
            variant_pb2.TensorSpec(name=name, dtype=dtype, shape=shape) for name, dtype, shape in outputs
        ]
    )


@pytest.mark.parametrize(
    ("signature", "task"),
    [
        pytest.param(_signature(("nll", "float32", (-1, 255))), "language-model", id="its output"),
        pytest.param(_signature(("scores", "float32", (-1, 255))), "classification", id="by another name"),
        pytest.param(_signature(("nll", "float32", (-1,))), "", id="of another rank"),
    ],
)
def test_guessed_by_the_name_of_the_output(signature: variant_pb2.Signature, task: str) -> None:
    assert tasks.task_of(signature) == task


def test_any_labels_will_do_since_none_are_looked_at() -> None:
    assert TASK.misfit(variant_pb2.TensorSpec(dtype="int64", shape=(256,))) == ""


@given(st.integers(2, 100_000), st.integers(1, 5), st.integers(1, 20))
def test_of_a_uniform_guess_it_is_the_vocabulary(vocabulary: int, windows: int, tokens: int) -> None:
    nll = np.full((windows, tokens), math.log(vocabulary), np.float32)
    (perplexity,) = TASK.metrics([nll], Truth())
    assert perplexity.value == pytest.approx(vocabulary, rel=1e-5)
    assert (perplexity.metric, perplexity.against) == ("perplexity", "labels")
    assert perplexity.lower_is_better
    assert perplexity.samples == windows * tokens


def test_interval_is_that_of_the_windows_means() -> None:
    # Means 1, 2 and 3: 2 ± t(2) / √3, and t(2) = 4.302653.
    nll = np.array([[0.5, 1.5], [2.5, 1.5], [3.0, 3.0]], np.float32)
    (perplexity,) = TASK.metrics([nll], Truth())
    half = 4.302652729749464 / math.sqrt(3)
    assert perplexity.value == pytest.approx(math.exp(2))
    assert perplexity.ci95_low == pytest.approx(math.exp(2 - half))
    assert perplexity.ci95_high == pytest.approx(math.exp(2 + half))


def test_one_window_has_no_interval() -> None:
    (perplexity,) = TASK.metrics([np.ones((1, 4), np.float32)], Truth())
    assert not perplexity.HasField("ci95_low")


def test_ratio_is_paired_by_window() -> None:
    original = np.random.default_rng(0).uniform(0.1, 9, (6, 30)).astype(np.float32)
    worse = original + np.float32(math.log(1.25))
    perplexity, ratio = TASK.metrics([worse], Truth(original=(original,)))
    assert (ratio.metric, ratio.against, ratio.lower_is_better) == ("perplexity_ratio", "original", True)
    assert ratio.value == pytest.approx(1.25, rel=1e-5)
    # Texts differ much more than what was lost on each.
    assert ratio.ci95_high - ratio.ci95_low < 1e-4
    assert perplexity.ci95_high - perplexity.ci95_low > 10


@given(st.integers(0, 2**32 - 1))
def test_ratio_to_itself_is_one(seed: int) -> None:
    nll = np.random.default_rng(seed).exponential(3, (3, 8)).astype(np.float32)
    _, ratio = TASK.metrics([nll], Truth(original=(nll,)))
    assert (ratio.value, ratio.ci95_low, ratio.ci95_high) == (1, 1, 1)


@pytest.mark.parametrize(
    ("outputs", "original", "message"),
    [
        ([np.ones((2, 3))] * 2, None, "language-model scores one output, got 2"),
        ([np.ones((2, 3, 1))], None, r"outputs \(windows, tokens - 1\), got shape \(2, 3, 1\)"),
        ([np.ones((0, 3))], None, r"got shape \(0, 3\)"),
        ([np.array([[1.0, np.nan]])], None, "the outputs hold values that are not numbers"),
        ([np.array([[1.0, np.inf]])], None, "the outputs hold values that are not numbers"),
        ([np.array([[1.0, -0.5]])], None, "as low as -0.5: a negative log-likelihood is 0 or more"),
        ([np.full((1, 2), 1e4)], None, "a mean of 1e\\+04 nats a token"),
        ([np.ones((2, 3))], np.ones((2, 4)), r"shape \(2, 3\), but the original's of \(2, 4\)"),
    ],
)
def test_refuses(outputs: list[np.ndarray], original: np.ndarray | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TASK.metrics(outputs, Truth(original=None if original is None else (original,)))
