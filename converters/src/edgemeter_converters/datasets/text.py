"""Texts, as the windows of token ids that a language model is trained and scored on.

A text's end is held out for evaluation, in one piece: windows picked at random would have read what stands
before and after them in training.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.datasets import named_arrays
from edgemeter_converters.datasets.dataset import Dataset
from edgemeter_converters.datasets.digests import sample_digest, sample_digests
from edgemeter_converters.datasets.refusal import not_a_dataset
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models.gguf_tokenizer import vocabulary_digest
from edgemeter_protos.token_windows import WINDOW_TOKENS
from edgemeter_protos.v1 import lab_pb2, refusal_pb2

SUFFIX = ".txt"

MAX_BYTES = 8 << 20
"""Two million tokens or so: far more than one fine-tunes on, and a gigabyte of memory while they are made."""

EVALUATION_SHARE = 0.2

MAX_EVALUATION_WINDOWS = 16
"""4,080 scored tokens with windows of 256: a small board takes minutes over them, for each variant."""


def read(path: Path, file_name: str, tokenizer: Path, window_tokens: int = 0) -> Dataset:
    """The dataset that a UTF-8 text makes: windows (windows, tokens) of int32, no labels.

    Args:
        tokenizer: a tokenizer.json.
        window_tokens: 0 for WINDOW_TOKENS, which models are scored over.

    Raises:
        ConversionError: NOT_A_DATASET or TOO_LARGE.
    """
    ids = token_ids(_text(path, file_name), tokenizer)
    tokens = window_tokens or WINDOW_TOKENS
    windows = ids[: len(ids) // tokens * tokens].reshape(-1, tokens)
    if len(windows) < 2:
        raise not_a_dataset(
            file_name,
            f"it is {len(ids)} tokens long; at least {2 * tokens} are needed, a window of {tokens} to train "
            "with and one to evaluate",
        )
    training, evaluation = split(windows)
    if not len(training):
        raise not_a_dataset(file_name, "it repeats itself: its end says nothing that is not said before")
    arrays = {"x_train": training, "x_test": evaluation, "vocabulary": np.array(vocabulary_digest(tokenizer))}
    return named_arrays.from_arrays(arrays)


def without_tokenizer(_path: Path, file_name: str, _reading: lab_pb2.DataReading) -> Dataset:
    """Refuses.

    Raises:
        ConversionError: NOT_A_DATASET, saying what to add.
    """
    raise not_a_dataset(file_name, "token ids of a text depend on the model: name it with --tokenizer MODEL")


def token_ids(text: str, tokenizer: Path) -> NDArray[np.int32]:
    """(tokens,), nothing put before or after the text."""
    from tokenizers import Tokenizer

    made = Tokenizer.from_file(str(tokenizer))
    made.no_padding()
    made.no_truncation()
    return np.array(made.encode(text, add_special_tokens=False).ids, dtype=np.int32)


def split(windows: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Training and evaluation: the last fifth of a text's windows, at least one, is held out. Pure.

    A window of training that stands in the evaluation too is left out.
    """
    count = min(max(1, round(EVALUATION_SHARE * len(windows))), MAX_EVALUATION_WINDOWS)
    training, evaluation = windows[:-count], windows[-count:]
    held_out = set(sample_digests((evaluation,)))
    apart = [at for at in range(len(training)) if sample_digest((training,), at) not in held_out]
    return training[apart], evaluation


def _text(path: Path, file_name: str) -> str:
    size_bytes = path.stat().st_size
    if size_bytes > MAX_BYTES:
        raise ConversionError(
            f"{file_name}: a text of {size_bytes:,} bytes, at most {MAX_BYTES:,} are read: cut it",
            reason=refusal_pb2.REFUSAL_REASON_TOO_LARGE,
        )
    try:
        # A byte order mark is no part of a text.
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_a_dataset(file_name, f"byte {error.start} is not UTF-8: save the text as UTF-8") from error
