from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_converters.models.llama_generation import generation
from edgemeter_converters.models.next_token import nll


@given(st.integers(2, 6), st.integers(1, 9), st.integers(0, 1 << 30))
def test_it_is_minus_the_logarithm_of_the_softmax(tokens: int, vocabulary: int, seed: int) -> None:
    random = np.random.RandomState(seed)
    logits, ids = random.normal(0, 30, (tokens, vocabulary)), random.randint(0, vocabulary, tokens)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    expected = [-np.log(shares[at, ids[at + 1]]) for at in range(tokens - 1)]
    np.testing.assert_allclose(nll(logits, ids), expected, rtol=1e-9, atol=1e-9)


def test_the_last_row_is_not_looked_at() -> None:
    logits, ids = np.arange(12.0).reshape(4, 3), np.array([0, 1, 2, 0])
    np.testing.assert_array_equal(nll(logits, ids), nll(logits[:3], ids))


def test_equal_scores_are_the_logarithm_of_the_vocabulary() -> None:
    ids = np.arange(5, dtype=np.int32)
    given_ = nll(np.full((5, 49152), 1e4, dtype=np.float32), ids)
    assert given_.tolist() == pytest.approx([np.log(49152)] * 4)


def test_a_generation_goes_on_from_the_first_window() -> None:
    asked = generation(np.arange(512, dtype=np.int32).reshape(2, 256))
    assert list(asked.prompt_ids) == list(range(64))
    assert asked.new_tokens == 48
    assert asked.context_tokens >= 64 + 48
