"""Language models, over whatever runs them: scored by windows of tokens, or timed by what they write."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edgemeter_agent.runtimes import language
from edgemeter_agent.runtimes.language import CHUNK_TOKENS, Logits, Tokens
from edgemeter_protos import token_windows
from edgemeter_protos.token_windows import WINDOW_TOKENS
from edgemeter_protos.v1 import variant_pb2

if TYPE_CHECKING:
    from edgemeter_agent.runtimes import Array, LoadOptions, RealArray


class Context(Protocol):
    """A model and one sequence of tokens that it looks back on. What is run comes after what it holds, and
    is held from then on."""

    @property
    def vocabulary(self) -> int:
        """Tokens that the model knows."""

    def forget_from(self, position: int) -> None:
        """Drops the tokens from a position on: it holds so many from then on."""

    def logits(self, tokens: Tokens) -> Logits:
        """Runs tokens; logits after each of them, valid until the next run."""

    def likeliest(self, tokens: Tokens) -> int:
        """Runs tokens; the one that is likeliest to follow. No other logits are computed."""

    def likeliest_after_one(self, token: int) -> int:
        """`likeliest` of a single token: what writing mostly consists of, with as little around it as can
        be."""


class MakeContext(Protocol):
    """Loads the model into a context of so many tokens, of which `batch` go through it at once.

    Raises ValueError, one line, where the runtime can't.
    """

    def __call__(self, *, tokens: int, batch: int) -> Context: ...


def loaded(make_context: MakeContext, options: LoadOptions, ran_on: str) -> Windows | Text:
    """The model as the options want it. Raises ValueError, one line."""
    generation = options.generation
    if generation is None:
        return Windows(make_context(tokens=WINDOW_TOKENS, batch=CHUNK_TOKENS), ran_on)
    size = language.context_tokens(generation)
    return Text(make_context(tokens=size, batch=len(generation.prompt_ids)), generation, ran_on)


class Windows:
    """A query is the negative log-likelihoods of the prepared windows, each from an empty context."""

    def __init__(self, context: Context, ran_on: str) -> None:
        """`context` holds WINDOW_TOKENS, and takes CHUNK_TOKENS at once."""
        self.signature = token_windows.signature()
        self.ran_on = ran_on
        self._context = context
        self._windows: Tokens = np.zeros((0, WINDOW_TOKENS), np.int32)
        self._nll: RealArray = np.zeros((0, WINDOW_TOKENS - 1), np.float32)

    def arena_bytes(self) -> int | None:
        return None

    def prepare(self, inputs: Sequence[Array]) -> None:
        self._windows = language.windows_of(inputs, self._context.vocabulary)
        self._nll = np.zeros((len(self._windows), WINDOW_TOKENS - 1), np.float32)

    def query(self) -> None:
        for window, nll in zip(self._windows, self._nll, strict=True):
            self._context.forget_from(0)
            for at, tokens in language.chunks(window):
                logits = self._context.logits(tokens)
                following = window[at + 1 : at + 1 + len(tokens)]
                nll[at : at + len(following)] = token_windows.negative_log_likelihood(logits, following)

    def outputs(self) -> list[RealArray]:
        return [self._nll.copy()]


class Text:
    """A `TextModel`. The prompt goes through the model at once, as an application's would."""

    def __init__(self, context: Context, generation: variant_pb2.Generation, ran_on: str) -> None:
        """`context` holds `language.context_tokens` of the generation, and takes its prompt at once. Raises
        ValueError, one line, for a prompt that is another tokenizer's."""
        self.signature = language.text_signature(generation)
        self.ran_on = ran_on
        self.first_token_ns = 0
        self._context = context
        self._prompt = language.checked_tokens(generation.prompt_ids, context.vocabulary)
        self._written = np.zeros(generation.new_tokens, np.int32)
        # The last token that is known and not run yet, and how many were run since the prompt.
        self._token = 0
        self._decoded = 0

    def arena_bytes(self) -> int | None:
        return None

    def prepare(self, inputs: Sequence[Array]) -> None:
        language.nothing_to_prepare(inputs)

    def query(self) -> None:
        begin_ns = time.perf_counter_ns()
        context, written = self._context, self._written
        context.forget_from(0)
        token = context.likeliest(self._prompt)
        self.first_token_ns = time.perf_counter_ns() - begin_ns
        written[0] = token
        for number in range(1, len(written)):
            token = context.likeliest_after_one(token)
            written[number] = token
        self._token, self._decoded = token, len(written) - 1

    def decode(self) -> None:
        if self._decoded >= max(len(self._written) - 1, 1):
            self._context.forget_from(len(self._prompt))
            self._token, self._decoded = int(self._written[0]), 0
        self._token = self._context.likeliest_after_one(self._token)
        self._decoded += 1

    def outputs(self) -> list[RealArray]:
        return [self._written[None].astype(np.float32)]
