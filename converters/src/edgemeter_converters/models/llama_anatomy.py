"""What a language model of the Llama family consists of."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

from edgemeter_converters.models.llama_shape import LlamaShape
from edgemeter_converters.models.model import Anatomy, LayerCount


def anatomy(shape: LlamaShape, weights: Path) -> Anatomy:
    """Layers as torch calls them, and the weights of a .safetensors that are not zero."""
    from safetensors import safe_open

    counts, parameters = Counter[str](), Counter[str]()
    for name, size in shape.tensors().items():
        counts[_kind(name, size)] += 1
        parameters[_kind(name, size)] += math.prod(size)
    with safe_open(weights, framework="pt") as file:
        non_zero = sum(int(file.get_tensor(name).count_nonzero()) for name in file.keys())  # noqa: SIM118
    return Anatomy(
        macs=shape.macs_per_token,
        layers=tuple(
            LayerCount(kind=kind, count=count, parameters=parameters[kind])
            for kind, count in counts.most_common()
        ),
        non_zero_parameters=non_zero,
    )


def _kind(name: str, size: tuple[int, ...]) -> str:
    if len(size) == 1:
        return "RMSNorm"
    return "Embedding" if "embed_tokens" in name else "Linear"
