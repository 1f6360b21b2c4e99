"""Windows and prompts of language models."""

from __future__ import annotations

import numpy as np
import pytest

from edgemeter_agent.runtimes import LoadOptions, language
from edgemeter_protos.v1 import variant_pb2


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
