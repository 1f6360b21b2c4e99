"""Windows, prompts and likelihoods of language models."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_agent.runtimes import LoadOptions, language
from edgemeter_protos.v1 import variant_pb2


def test_equal_logits_leave_a_token_in_as_many_as_there_are() -> None:
    nll = language.negative_log_likelihood(np.zeros((3, 50), np.float32), np.array([0, 7, 49], np.int32))
    assert nll.dtype == np.float32
    np.testing.assert_allclose(nll, np.log(50), rtol=1e-6)


@given(st.integers(0, 2**32 - 1), st.floats(-1e4, 1e4))
def test_likelihoods_are_those_of_a_softmax_wherever_its_logits_lie(seed: int, shift: float) -> None:
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 8, (4, 30))
    tokens = generator.integers(0, 30, 4).astype(np.int32)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wanted = -np.log(shares[np.arange(4), tokens])
    given_logits = (logits + shift).astype(np.float32)
    np.testing.assert_allclose(
        language.negative_log_likelihood(given_logits, tokens),
        wanted,
        rtol=1e-3,
        atol=2e-3 + abs(shift) * 1e-6,
    )


def test_nothing_follows_a_windows_last_position() -> None:
    nll = language.negative_log_likelihood(np.zeros((3, 4), np.float32), np.array([1, 2], np.int32))
    np.testing.assert_allclose(nll, np.log(4), rtol=1e-6)


def test_chunks_hold_every_token_once_and_in_order() -> None:
    window = np.arange(256, dtype=np.int32)
    pieces = language.chunks(window)
    assert [at for at, _ in pieces] == [0, 64, 128, 192]
    np.testing.assert_array_equal(np.concatenate([tokens for _, tokens in pieces]), window)


@pytest.mark.parametrize(
    ("prompt", "new", "context", "wanted"),
    [
        (64, 48, 0, 112),
        (64, 48, 112, 112),
        # room to spare is memory that an application would take too
        (64, 48, 2048, 2048),
        (1, 1, 0, 2),
    ],
)
def test_a_context_holds_prompt_and_new_tokens(prompt: int, new: int, context: int, wanted: int) -> None:
    generation = variant_pb2.Generation(prompt_ids=range(prompt), new_tokens=new, context_tokens=context)
    assert language.context_tokens(generation) == wanted


@pytest.mark.parametrize(
    ("generation", "said"),
    [
        (variant_pb2.Generation(new_tokens=3), "a prompt of 0 tokens and 3 new ones"),
        (variant_pb2.Generation(prompt_ids=[1]), "a prompt of 1 tokens and 0 new ones"),
        (variant_pb2.Generation(prompt_ids=[1, 2], new_tokens=3, context_tokens=4), "into a context of 4"),
    ],
)
def test_what_is_no_generation_is_refused(generation: variant_pb2.Generation, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        language.context_tokens(generation)


@pytest.mark.parametrize("token", [-1, 256, 100_000])
def test_a_token_that_the_model_lacks_is_refused(token: int) -> None:
    with pytest.raises(ValueError, match=rf"a token {token}, and the model has 256"):
        language.checked_tokens([3, token, 255], 256)


def test_windows_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"token_ids.*\[-1, 256\].*\[1, 255\]"):
        language.windows_of([np.zeros((1, 255), np.int32)], 256)


def test_a_batch_and_an_accelerator_are_refused() -> None:
    with pytest.raises(ValueError, match="a batch of 2: a language model takes one text at a time"):
        language.check_options("llama.cpp", LoadOptions(batch_size=2))
    with pytest.raises(ValueError, match=r"llama\.cpp has no accelerator 'cuda'; there are cpu"):
        language.check_options("llama.cpp", LoadOptions(accelerator="cuda"))
    language.check_options("llama.cpp", LoadOptions(accelerator="cpu", threads=4))
