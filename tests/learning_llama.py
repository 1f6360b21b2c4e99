"""A language model of the Llama family, small enough to make in a test, and text that it can learn."""

# mypy: disable-error-code="misc"
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.models import llama
from edgemeter_converters.models.model import LoadedModel

VOCABULARY, WINDOW = 320, 256

WORDS = ("the", "meter", "reads", "seven", "watts", "and", "rests", "while", "board", "warms", ".")

SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
    "rms_norm_eps": 1e-5,
}


def write(folder: Path, seed: int = 0, **shape: Any) -> None:
    """A random model with a byte-level BPE tokenizer, as `models.llama` keeps them.

    Args:
        folder: to be made.
        shape: of `transformers.LlamaConfig`, in place of `SHAPE`'s.
    """
    import torch
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = transformers.LlamaConfig(
            **{**SHAPE, **shape}, architectures=["LlamaForCausalLM"], initializer_range=0.08
        )
        module = transformers.LlamaForCausalLM(config).eval()
    source = folder.with_name(f"{folder.name}-tokenizer")
    source.mkdir(exist_ok=True)
    tokenizer().save(str(source / llama.TOKENIZER))
    llama.save_module(module, folder, source)


def model(folder: Path, seed: int = 0, **shape: Any) -> LoadedModel:
    """What `write` makes, as a model; the folder stays the caller's."""
    write(folder, seed, **shape)
    return llama.of_folder(folder)


def tokenizer() -> Any:
    """A byte-level BPE whose tokens are the bytes and the beginnings of `WORDS`.

    Not trained: where pairs are as frequent as one another, which are merged differs from run to run.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokens = ["<|endoftext|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        begun = "\u0120"
        for letter in word:
            if begun + letter not in tokens:
                tokens.append(begun + letter)
                merges.append((begun, letter))
            begun += letter
    made = Tokenizer(models.BPE({token: at for at, token in enumerate(tokens)}, merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def text(words: int, seed: int = 0) -> str:
    """Sentences of a few words, any one of which tells much of the next."""
    random = np.random.RandomState(seed)
    order = np.random.RandomState(7).permutation(len(WORDS))
    at, written = 0, []
    for _ in range(words):
        # Nine times out of ten one and the same word follows.
        at = int(order[at]) if random.random_sample() < 0.9 else int(random.randint(len(WORDS)))
        written.append(WORDS[at])
    return " ".join(written)


def windows(count: int, seed: int = 0) -> NDArray[np.int32]:
    """Token ids of such text, (count, WINDOW)."""
    ids = tokenizer().encode(text(count * WINDOW, seed)).ids
    return np.array(ids[: count * WINDOW], dtype=np.int32).reshape(count, WINDOW)
