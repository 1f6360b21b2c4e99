"""Scoring and writing, over a model so small that what it says can be reckoned."""

from __future__ import annotations

import numpy as np
import pytest

from edgemeter_agent.runtimes import LoadOptions, language_models
from edgemeter_agent.runtimes.language import Logits, Tokens
from edgemeter_protos.v1 import variant_pb2

VOCABULARY = 7


class Adding:
    """Holds for certain that a token is the sum of all before it, modulo the vocabulary."""

    vocabulary = VOCABULARY

    def __init__(self, *, tokens: int, batch: int) -> None:
        self.tokens, self.batch = tokens, batch
        self.held: list[int] = []
        self.runs: list[int] = []

    def forget_from(self, position: int) -> None:
        assert position <= len(self.held)
        del self.held[position:]

    def logits(self, tokens: Tokens) -> Logits:
        assert len(tokens) <= self.batch
        self.runs.append(len(tokens))
        logits = np.zeros((len(tokens), VOCABULARY), np.float32)
        for row, token in zip(logits, tokens, strict=True):
            self.held.append(int(token))
            row[sum(self.held) % VOCABULARY] = 100
        assert len(self.held) <= self.tokens
        return logits

    def likeliest(self, tokens: Tokens) -> int:
        return int(self.logits(tokens)[-1].argmax())

    def likeliest_after_one(self, token: int) -> int:
        return self.likeliest(np.array([token], np.int32))


def text(prompt: list[int], new_tokens: int) -> tuple[language_models.Text, Adding]:
    made: list[Adding] = []

    def make(*, tokens: int, batch: int) -> Adding:
        made.append(Adding(tokens=tokens, batch=batch))
        return made[0]

    options = LoadOptions(generation=variant_pb2.Generation(prompt_ids=prompt, new_tokens=new_tokens))
    model = language_models.loaded(make, options, "CPU")
    assert isinstance(model, language_models.Text)
    return model, made[0]


def test_every_window_begins_with_nothing_before_it() -> None:
    model = language_models.loaded(Adding, LoadOptions(), "CPU")
    # 1, 1, 2, 4, 1, 2, 4, …: what it expects; and the same with one token that it does not.
    expected = np.array([1, *([1, 2, 4] * 85)], np.int32)
    surprising = expected.copy()
    surprising[70] = (surprising[70] + 1) % VOCABULARY
    model.prepare([np.stack([expected, surprising, expected])])
    model.query()
    (nll,) = model.outputs()
    assert nll.shape == (3, 255)
    np.testing.assert_allclose(nll[[0, 2]], 0, atol=1e-5)
    assert nll[1, 69] == pytest.approx(100)
    np.testing.assert_allclose(nll[1, :69], 0, atol=1e-5)


def test_a_query_writes_from_the_prompt_each_time() -> None:
    model, context = text([1, 2], new_tokens=4)
    for _ in range(2):
        model.query()
        (tokens,) = model.outputs()
        np.testing.assert_array_equal(tokens, [[3, 6, 5, 3]])
    assert context.runs == [2, 1, 1, 1] * 2
    assert model.first_token_ns > 0


@pytest.mark.parametrize(
    ("new_tokens", "held"),
    [
        # The last token written is never run in a query: decoding goes as far.
        pytest.param(4, [3, 4, 5, 3, 4, 5, 3], id="several"),
        pytest.param(1, [3, 3, 3, 3, 3, 3, 3], id="one"),
    ],
)
def test_decoding_keeps_contexts_as_long_as_a_querys(new_tokens: int, held: list[int]) -> None:
    model, context = text([1, 2], new_tokens)
    model.query()
    found = []
    for _ in held:
        model.decode()
        found.append(len(context.held))
    assert found == held
    assert context.runs[-len(held) :] == [1] * len(held)
