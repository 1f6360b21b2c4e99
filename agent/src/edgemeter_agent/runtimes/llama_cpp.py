"""llama.cpp: language models in GGUF files, on the processor."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgemeter_agent.runtimes import language
from edgemeter_agent.runtimes.language import CHUNK_TOKENS, Tokens
from edgemeter_agent.runtimes.llama_library import Context, Library
from edgemeter_protos import token_windows
from edgemeter_protos.token_windows import WINDOW_TOKENS
from edgemeter_protos.v1 import variant_pb2

if TYPE_CHECKING:
    from edgemeter_agent.runtimes import Array, LoadedModel, LoadOptions, RealArray

ARENA = "llama.cpp's functions do not tell what its buffers hold"

MAGIC = b"GGUF"

LIBRARIES: dict[str, Library] = {}
"""By import package: its log goes to one place for the whole process."""


def loader(package: str) -> Callable[[str, LoadOptions], LoadedModel]:
    """Raises ImportError."""
    if package not in LIBRARIES:
        LIBRARIES[package] = Library(package)
    library = LIBRARIES[package]
    ran_on = f"CPU ({package})"

    def load(artifact_path: str, options: LoadOptions) -> LoadedModel:
        language.check_options("llama.cpp", options)
        with Path(artifact_path).open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ValueError(f"it is no GGUF file: it does not begin with {MAGIC.decode()}")
        if options.generation is None:
            return LlamaWindows(library, artifact_path, options.threads, ran_on)
        return LlamaText(library, artifact_path, options.generation, options.threads, ran_on)

    return load


class LlamaWindows:
    """A query is the negative log-likelihoods of the prepared windows, each from an empty context."""

    def __init__(self, library: Library, path: str, threads: int, ran_on: str) -> None:
        self.signature = token_windows.signature()
        self.ran_on = ran_on
        self._context = Context(library, path, tokens=WINDOW_TOKENS, batch=CHUNK_TOKENS, threads=threads)
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
                logits = self._context.run(tokens, at, every=True)
                following = window[at + 1 : at + 1 + len(tokens)]
                nll[at : at + len(following)] = token_windows.negative_log_likelihood(logits, following)

    def outputs(self) -> list[RealArray]:
        return [self._nll.copy()]


class LlamaText:
    """A `TextModel`. The prompt goes through the model at once, as an application's would."""

    def __init__(
        self, library: Library, path: str, generation: variant_pb2.Generation, threads: int, ran_on: str
    ) -> None:
        """Raises ValueError, one line, for a generation that this model can't write."""
        size = language.context_tokens(generation)
        self.signature = language.text_signature(generation)
        self.ran_on = ran_on
        self.first_token_ns = 0
        prompt = len(generation.prompt_ids)
        self._context = Context(library, path, tokens=size, batch=prompt, threads=threads)
        self._prompt = language.checked_tokens(generation.prompt_ids, self._context.vocabulary)
        self._written = np.zeros(generation.new_tokens, np.int32)
        # Of the last token that was known and not run yet.
        self._position = prompt
        self._token = 0
        self._end = prompt + max(generation.new_tokens - 1, 1)

    def arena_bytes(self) -> int | None:
        return None

    def prepare(self, inputs: Sequence[Array]) -> None:
        language.nothing_to_prepare(inputs)

    def query(self) -> None:
        begin_ns = time.perf_counter_ns()
        context, written = self._context, self._written
        context.forget_from(0)
        token = int(context.run(self._prompt, 0, every=False)[0].argmax())
        self.first_token_ns = time.perf_counter_ns() - begin_ns
        written[0] = token
        position = len(self._prompt)
        for number in range(1, len(written)):
            token = int(context.run_one(token, position)[0].argmax())
            written[number] = token
            position += 1
        self._position, self._token = position, token

    def decode(self) -> None:
        if self._position >= self._end:
            self._position, self._token = len(self._prompt), int(self._written[0])
            self._context.forget_from(self._position)
        self._token = int(self._context.run_one(self._token, self._position)[0].argmax())
        self._position += 1

    def outputs(self) -> list[RealArray]:
        return [self._written[None].astype(np.float32)]
