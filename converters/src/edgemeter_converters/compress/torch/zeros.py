"""Weights that are held at zero while the others are trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from edgemeter_converters.compress.torch.layers import Weight, weights
from edgemeter_converters.training.torch import Hold


class Masks(Hold):
    """Holds weights at exactly zero.

    Attributes:
        kept: by a weight's name, a tensor of its shape, True where it may be other than zero. A weight that
            isn't named is free.
    """

    def __init__(self, each_weight: Iterable[Weight], kept: dict[str, Any]) -> None:
        self.each_weight = tuple(each_weight)
        self.kept = kept

    def apply(self) -> None:
        """Writes the zeros."""
        with torch.no_grad():
            for each in self.each_weight:
                if each.name in self.kept:
                    # Not a product: that would leave negative zeros, which a byte for byte look tells apart.
                    each.parameter.masked_fill_(~self.kept[each.name], 0.0)

    def state(self) -> dict[str, Any]:
        return dict(self.kept)

    def restore(self, state: dict[str, Any]) -> None:
        self.kept = dict(state)


def zeros_of(module: Any) -> Masks:
    """Holds the zeros that an earlier step made.

    A weight without any zero is free, and so is one that is all zeros, which is how some networks start a
    branch.
    """
    each_weight = weights(module, embeddings=True)
    kept = {each.name: each.parameter.detach() != 0 for each in each_weight}
    return Masks(
        each_weight, {name: mask for name, mask in kept.items() if bool(mask.any()) and not bool(mask.all())}
    )
