"""How likely the tokens of a window are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_protos.token_windows import negative_log_likelihood, signature


@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 1 << 30))
def test_it_is_minus_the_logarithm_of_the_softmax(positions: int, vocabulary: int, seed: int) -> None:
    random = np.random.RandomState(seed)
    logits = random.normal(0, 30, (positions, vocabulary))
    following = random.randint(0, vocabulary, positions)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    expected = -np.log(shares[np.arange(positions), following])
    found = negative_log_likelihood(logits, following)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@given(st.integers(0, 2**32 - 1), st.floats(-1e4, 1e4))
def test_it_is_the_same_wherever_float32_logits_lie(seed: int, shift: float) -> None:
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 8, (4, 30))
    following = generator.integers(0, 30, 4).astype(np.int32)
    np.testing.assert_allclose(
        negative_log_likelihood((logits + shift).astype(np.float32), following),
        negative_log_likelihood(logits, following),
        rtol=1e-3,
        atol=2e-3 + abs(shift) * 1e-6,
    )


def test_the_last_row_is_not_looked_at() -> None:
    logits, following = np.arange(12.0).reshape(4, 3), np.array([1, 2, 0])
    np.testing.assert_array_equal(
        negative_log_likelihood(logits, following), negative_log_likelihood(logits[:3], following)
    )


def test_a_token_without_logits_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        negative_log_likelihood(np.zeros((2, 3)), np.array([1, 2, 0]))


def test_equal_scores_are_the_logarithm_of_the_vocabulary() -> None:
    found = negative_log_likelihood(np.full((5, 49152), 1e4, dtype=np.float32), np.arange(4, dtype=np.int32))
    assert found.tolist() == pytest.approx([np.log(49152)] * 4)


def test_a_window_gives_a_number_less_than_it_has_tokens() -> None:
    (windows,), (nll,) = signature().inputs, signature().outputs
    assert (windows.name, windows.dtype, list(windows.shape)) == ("token_ids", "int32", [-1, 256])
    assert (nll.name, nll.dtype, list(nll.shape)) == ("nll", "float32", [-1, 255])
