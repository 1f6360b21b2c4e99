"""GGUF files of llama.cpp's architecture `llama`, as folders of float32 weights."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgemeter_converters.models import (
    gguf_names,
    gguf_tokenizer,
    llama,
    llama_files,
    llama_rope,
    llama_shape,
)
from edgemeter_converters.models.llama_shape import ARCHITECTURES, LlamaShape, refuse

KNOWN = "llama"
"""`general.architecture`."""

_FLOATS = ("F32", "F16", "BF16")

_DAMAGE = (ValueError, IndexError, KeyError, OverflowError, struct.error, MemoryError, OSError)
"""What gguf's reader raises at a file that is none, or is cut short."""


def read(path: Path, file_name: str, folder: Path) -> None:
    """Puts the model in a GGUF into an empty folder, as `models.llama` keeps it.

    Raises:
        ConversionError: NOT_A_MODEL or TOO_LARGE.
    """
    import torch

    reader = opened(path, file_name)
    shape = shape_of(reader, file_name)
    llama_files.check_size(shape, file_name)
    tensors = {tensor.name: tensor for tensor in reader.tensors}

    def tensor(name: str) -> Any:
        return torch.from_numpy(weight(tensors, name, shape, file_name))

    llama.write_weights(folder, shape, tensor)
    metadata = tokenizer_metadata(reader)
    (folder / llama.TOKENIZER).write_text(gguf_tokenizer.to_json(metadata, file_name), encoding="utf-8")
    origin: dict[str, Any] = {"gguf_tokenizer": metadata}
    kinds = _kinds(tensors, shape)
    if kinds:
        against = "losses are told against that, not against the model as it was trained"
        origin["notes"] = [f"The original is a GGUF whose float32 is dequantized {kinds}: {against}."]
    (folder / llama.ORIGIN).write_text(json.dumps(origin), encoding="utf-8")


def opened(path: Path, file_name: str) -> Any:
    """gguf's reader of a file of architecture `llama`.

    Raises:
        ConversionError: NOT_A_MODEL.
    """
    import gguf

    try:
        # numpy warns where a damaged file's sizes overflow.
        with np.errstate(all="ignore"):
            reader = gguf.GGUFReader(path)
        architecture = _value(reader, "general.architecture")
    except FileNotFoundError:
        refuse(file_name, "there is no such file")
    except _DAMAGE as error:
        refuse(file_name, f"it is no GGUF file, or a damaged one ({type(error).__name__})")
    if architecture != KNOWN:
        refuse(
            file_name,
            f"it is of architecture {architecture!r}; language models are read of {KNOWN!r} "
            f"({', '.join(ARCHITECTURES)}: Llama, SmolLM, SmolLM2, TinyLlama, …)",
        )
    return reader


def shape_of(reader: Any, file_name: str) -> LlamaShape:
    """What its metadata say.

    Raises:
        ConversionError: NOT_A_MODEL.
    """
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    if "token_embd.weight" not in tensors:
        refuse(file_name, "it has no tensor token_embd.weight")

    def told(key: str, otherwise: Any = None) -> Any:
        value = _value(reader, f"{KNOWN}.{key}")
        return otherwise if value is None else value

    if told("expert_count", 0):
        refuse(file_name, "it is a mixture of experts, which is no plain Llama")
    hidden, heads = told("embedding_length"), told("attention.head_count")
    config = {
        "architectures": list(ARCHITECTURES),
        # Not every file tells llama.vocab_size.
        "vocab_size": int(tensors["token_embd.weight"].shape[1]),
        "hidden_size": hidden,
        "intermediate_size": told("feed_forward_length"),
        "num_hidden_layers": told("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": told("attention.head_count_kv", heads),
        "head_dim": told("attention.key_length"),
        "max_position_embeddings": told("context_length"),
        "tie_word_embeddings": "output.weight" not in tensors,
        "rms_norm_eps": _shortest(told("attention.layer_norm_rms_epsilon", 1e-6)),
        "rope_parameters": {
            **llama_rope.of_gguf(told, tensors.get("rope_freqs.weight"), file_name),
            "rope_theta": _shortest(told("rope.freq_base", 10_000.0)),
        },
        "bos_token_id": _value(reader, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": _value(reader, "tokenizer.ggml.eos_token_id"),
    }
    return llama_shape.from_config(config, file_name)


def weight(tensors: Mapping[str, Any], name: str, shape: LlamaShape, file_name: str) -> Any:
    """A weight by its name in torch: float32, its rows in torch's order.

    Raises:
        ConversionError: it is missing, of another shape, or quantized in a way that gguf does not know.
    """
    import gguf

    found = tensors.get(gguf_names.gguf_name(name))
    size = shape.tensors()[name]
    if found is None:
        refuse(file_name, f"it has no tensor {gguf_names.gguf_name(name)}")
    if tuple(int(each) for each in reversed(found.shape)) != size:
        sizes = [int(each) for each in reversed(found.shape)]
        refuse(file_name, f"{found.name} is of shape {sizes}, its metadata say {list(size)}")
    try:
        values = gguf.dequantize(found.data, found.tensor_type).reshape(size)
    except NotImplementedError:
        refuse(
            file_name, f"{found.name} is quantized as {found.tensor_type.name}, which can't be undone here"
        )
    heads = gguf_names.rotated_heads(name, shape)
    values = gguf_names.to_halves(values, heads) if heads else values
    return np.array(values, dtype=np.float32)


def tokenizer_metadata(reader: Any) -> dict[str, Any]:
    """Its `tokenizer.*` keys."""
    return {key: _value(reader, key) for key in reader.fields if key.startswith("tokenizer.")}


def _value(reader: Any, key: str) -> Any:
    field = reader.fields.get(key)
    return None if field is None else field.contents()


def _shortest(value: float) -> float:
    """A float32 as it was written: 1e-05, not 9.999999747378752e-06."""
    return float(str(np.float32(value)))


def _kinds(tensors: Mapping[str, Any], shape: LlamaShape) -> str:
    """The quantizations of its matrices, the most frequent first; empty where they are of floats."""
    names = [gguf_names.gguf_name(name) for name, size in shape.tensors().items() if len(size) == 2]
    counts = Counter(tensors[name].tensor_type.name for name in names)
    quantized = [(kind, count) for kind, count in counts.most_common() if kind not in _FLOATS]
    return ", ".join(f"{kind} ({count} of {len(names)} matrices)" for kind, count in quantized)
