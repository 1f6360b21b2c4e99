"""How much each decoder block changes what passes through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch.nn import functional

from edgemeter_converters.compress.llama.blocks import entering


def block_influence(
    module: Any, windows: NDArray[Any], told: Callable[[float], None] = lambda _share: None
) -> list[float]:
    """One minus the cosine between a token's values before and after each block, a mean over all tokens.

    Men et al., ShortGPT, arXiv:2403.03853, equation 1.

    Args:
        windows: token ids, (windows, tokens).
        told: the share of the blocks that are done.
    """
    stream = entering(module, windows)
    found = []
    for number, block in enumerate(module.model.layers):
        left = stream.after(block)
        with torch.inference_mode():
            cosines = [
                functional.cosine_similarity(before.double(), after.double(), dim=-1).flatten()
                for before, after in zip(stream.hidden, left.hidden, strict=True)
            ]
        found.append(1 - float(torch.cat(cosines).mean()))
        stream = left
        told((number + 1) / len(module.model.layers))
    return found


def least(influence: Sequence[float], count: int) -> list[int]:
    """The `count` blocks of the least influence, in their order; of those that tie the later ones. Pure."""
    by_influence = sorted(range(len(influence)), key=lambda block: (influence[block], -block))
    return sorted(by_influence[:count])
