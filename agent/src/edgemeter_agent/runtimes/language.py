"""What runtimes of language models look at before one runs: options, prompts, windows of tokens. Pure.

Without `LoadOptions.generation` such a model takes windows of token ids and gives their tokens' negative
log-likelihoods (`edgemeter_protos.token_windows`). With it, it takes nothing and gives the tokens that it
wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgemeter_agent.runtimes.accelerators import unknown
from edgemeter_agent.runtimes.fit import check_fits
from edgemeter_protos import token_windows
from edgemeter_protos.v1 import variant_pb2

if TYPE_CHECKING:
    from edgemeter_agent.runtimes import Array, LoadOptions

Tokens = npt.NDArray[np.int32]
Logits = npt.NDArray[np.float32]
"""[positions, vocabulary]."""

CHUNK_TOKENS = 64
"""Of a window, at once: with a vocabulary of 128,000, logits for all of it would take 130 MB. A chunk's
context holds the chunks before it, so that nothing but rounding depends on it; with llama.cpp not even that,
whose kernels for many tokens begin at 32 or 64 of them."""

ACCELERATORS = ("cpu",)


def text_signature(generation: variant_pb2.Generation) -> variant_pb2.Signature:
    """-> tokens int32 (1, new_tokens)."""
    tokens = variant_pb2.TensorSpec(name="tokens", dtype="int32", shape=[1, generation.new_tokens])
    return variant_pb2.Signature(outputs=[tokens])


def check_options(runtime: str, options: LoadOptions) -> None:
    """Raises ValueError, one line, for what no language model's runtime does here."""
    if options.accelerator not in ("", *ACCELERATORS):
        raise unknown(runtime, options.accelerator, ACCELERATORS)
    if options.batch_size > 1:
        raise ValueError(
            f"a batch of {options.batch_size}: a language model takes one text at a time; use batch_size 1"
        )


def context_tokens(generation: variant_pb2.Generation) -> int:
    """How many tokens the context must hold. Raises ValueError, one line, for a generation that there can't
    be."""
    prompt, new = len(generation.prompt_ids), generation.new_tokens
    if not prompt or not new:
        raise ValueError(f"a prompt of {prompt} tokens and {new} new ones: a generation needs some of both")
    asked = generation.context_tokens
    if asked and asked < prompt + new:
        raise ValueError(
            f"a prompt of {prompt} tokens and {new} new ones do not fit into a context of {asked}"
        )
    return asked or prompt + new


def checked_tokens(tokens: Array | Sequence[int], vocabulary: int) -> Tokens:
    """Runtimes take a number for a row of a table, and some do not look whether it has that row.

    Raises ValueError, one line, for a token that the model does not have.
    """
    given = np.asarray(tokens)
    strangers = given[(given < 0) | (given >= vocabulary)]
    if strangers.size:
        raise ValueError(
            f"there is a token {strangers.flat[0]:.0f}, and the model has {vocabulary}, from 0 on: the tokens"
            " are another tokenizer's"
        )
    return np.ascontiguousarray(given.astype(np.int32))


def windows_of(inputs: Sequence[Array], vocabulary: int) -> Tokens:
    """int32 [windows, WINDOW_TOKENS] of a model's inputs. Raises ValueError, one line, where they do not
    fit."""
    check_fits(inputs, token_windows.signature().inputs)
    return checked_tokens(inputs[0], vocabulary)


def chunks(tokens: Tokens) -> list[tuple[int, Tokens]]:
    """A window in pieces of CHUNK_TOKENS for one run of the model each: (position of the first, tokens)."""
    return [(at, tokens[at : at + CHUNK_TOKENS]) for at in range(0, len(tokens), CHUNK_TOKENS)]


def nothing_to_prepare(inputs: Sequence[Any]) -> None:
    """Raises ValueError, one line, for inputs of a model that writes from its own prompt."""
    if inputs:
        raise ValueError(
            f"a model that writes text has its prompt already, and {len(inputs)} inputs were given"
        )
