"""How a Llama's rotations are stretched for long texts, as config.json and as a GGUF tell it. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.models.llama_shape import LlamaShape, refuse

_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
"""Of every Llama 3.1 to 3.3; their factor differs."""


def llama3_divisors(base: float, head_size: int, rope: Mapping[str, Any]) -> NDArray[np.float32]:
    """What each pair's frequency is divided by: (head_size / 2,).

    transformers, modeling_rope_utils.py, _compute_llama3_parameters: long waves by the whole factor, short
    ones not at all, those between by something between.
    """
    factor = float(rope["factor"])
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    trained = float(rope["original_max_position_embeddings"])
    frequencies = base ** -(np.arange(0, head_size, 2, dtype=np.float64) / head_size)
    turns = trained * frequencies / (2 * math.pi)
    smooth = (turns - low) / (high - low)
    between = 1 / ((1 - smooth) / factor + smooth)
    divisors = np.where(turns < low, factor, np.where(turns > high, 1.0, between))
    return divisors.astype(np.float32)


def of_gguf(told: Callable[..., Any], divisors: Any, file_name: str) -> dict[str, Any]:
    """Hugging Face's `rope_parameters`, without the base.

    Args:
        told: an architecture's metadata by their key; a second argument for those that are absent.
        divisors: the tensor rope_freqs.weight, or None.

    Raises:
        ConversionError: NOT_A_MODEL, positions are stretched in a way that can't be told there.
    """
    kind = told("rope.scaling.type", "none")
    if divisors is None:
        if kind == "none":
            return {"rope_type": "default"}
        if kind == "linear":
            return {"rope_type": "linear", "factor": float(told("rope.scaling.factor", 1.0))}
        refuse(file_name, f"its positions are stretched by {kind!r}; known are 'linear' and Llama 3's way")
    seen = np.asarray(divisors.data, dtype=np.float32).reshape(-1)
    rope = {"rope_type": "llama3", "factor": float(seen.max()), **_LLAMA3}
    wanted = llama3_divisors(float(told("rope.freq_base", 10_000.0)), 2 * len(seen), rope)
    if not np.allclose(seen, wanted, rtol=1e-4):
        refuse(file_name, "its rope_freqs are not those of a Llama 3: give the Hugging Face folder")
    return rope


def to_gguf(shape: LlamaShape) -> tuple[dict[str, Any], NDArray[np.float32] | None]:
    """Metadata keys without the architecture, and the tensor rope_freqs.weight where one is needed."""
    if shape.rope["rope_type"] == "linear":
        return {"rope.scaling.type": "linear", "rope.scaling.factor": float(shape.rope["factor"])}, None
    if shape.rope["rope_type"] == "llama3":
        return {}, llama3_divisors(shape.rope_base, shape.head_size, shape.rope)
    return {}, None
