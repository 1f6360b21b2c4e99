"""4-bit weights in groups, a scale and a zero point for each: rounded to the nearest, or by GPTQ.

Frantar et al., GPTQ, arXiv:2210.17323, algorithm 1: columns are rounded one after the other, and those that
are still to come make up for each one's error. Columns whose inputs are largest go first, in groups that are
settled beforehand (what the authors' code calls act-order with static groups).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from edgemeter_converters.compress.llama.blocks import damped

GROUPS = (64, 32, 16, 8)
"""Columns that share a scale: the first of these that divides a layer's inputs; all of them where none does.
64 and not the usual 128, which does not divide 576."""

LEVELS = 15
"""Above zero: 4 bits."""

_LAZY_COLUMNS = 128
"""Columns after which errors are passed on to all that follow: GPTQ, section 3.3, "lazy batch-updates"."""


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """A matrix of 4-bit weights: (level - zero) * scale.

    Attributes:
        levels: (outputs, inputs), uint8, 0 to 15.
        scales: (outputs, groups), float16.
        zeros: (outputs, groups), uint8, 0 to 15.
    """

    levels: Any
    scales: Any
    zeros: Any

    def dequantized(self) -> Any:
        """The weights, float32."""
        group = self.levels.shape[1] // self.scales.shape[1]
        scales = self.scales.float().repeat_interleave(group, dim=1)
        zeros = self.zeros.float().repeat_interleave(group, dim=1)
        return (self.levels.float() - zeros) * scales


def group_size(inputs: int) -> int:
    """How many columns share a scale. Pure."""
    return next((size for size in GROUPS if inputs % size == 0), inputs)


def nearest(weight: Any) -> Quantized:
    """Each weight rounded for itself.

    Args:
        weight: (outputs, inputs).
    """
    scales, zeros = _grid(weight)
    group = weight.shape[1] // scales.shape[1]
    levels = _levels(
        weight.float(),
        scales.float().repeat_interleave(group, dim=1),
        zeros.float().repeat_interleave(group, dim=1),
    )
    return Quantized(levels=levels.to(torch.uint8), scales=scales, zeros=zeros)


def gptq(weight: Any, gram: Any) -> Quantized:
    """Rounded such that the layer's outputs change little, on the grid that `nearest` uses.

    Args:
        weight: (outputs, inputs).
        gram: (inputs, inputs), of what the layer is given.
    """
    scales, zeros = _grid(weight)
    group = weight.shape[1] // scales.shape[1]
    order = torch.argsort(gram.diagonal(), descending=True, stable=True)
    of_group = order // group
    left = weight.double()[:, order]
    ordered_gram = damped(gram)[order][:, order]
    inverse = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(ordered_gram)), upper=True)
    levels = torch.empty_like(left)
    columns = left.shape[1]
    for first in range(0, columns, _LAZY_COLUMNS):
        past = min(first + _LAZY_COLUMNS, columns)
        errors = torch.empty(left.shape[0], past - first, dtype=left.dtype)
        for at in range(first, past):
            scale, zero = scales[:, of_group[at]].double(), zeros[:, of_group[at]].double()
            levels[:, at] = _levels(left[:, at], scale, zero)
            error = (left[:, at] - (levels[:, at] - zero) * scale) / inverse[at, at]
            left[:, at:past] -= torch.outer(error, inverse[at, at:past])
            errors[:, at - first] = error
        left[:, past:] -= errors @ inverse[first:past, past:]
    in_place = torch.empty_like(levels)
    in_place[:, order] = levels
    return Quantized(levels=in_place.to(torch.uint8), scales=scales, zeros=zeros)


def _grid(weight: Any) -> tuple[Any, Any]:
    """Scale and zero point of each group, from its least to its largest weight, which has zero between them:
    (outputs, groups) each."""
    outputs, inputs = weight.shape
    groups = weight.float().reshape(outputs, -1, group_size(inputs))
    low = groups.amin(dim=2).clamp_max(0)
    high = groups.amax(dim=2).clamp_min(0)
    # As they are kept, so that what is rounded here is what is read there.
    least = torch.finfo(torch.float16).tiny
    scales = ((high - low) / LEVELS).clamp_min(least).to(torch.float16)
    zeros = torch.round(-low / scales.float()).clamp(0, LEVELS).to(torch.uint8)
    return scales, zeros


def _levels(weights: Any, scales: Any, zeros: Any) -> Any:
    return torch.clamp(torch.round(weights / scales) + zeros, 0, LEVELS)
