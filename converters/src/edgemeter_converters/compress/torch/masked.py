"""What a module computes when it ignores some channels, without being cut: the yardstick for cutting them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The channels of one layer that stay, as indices before anything was cut.

    Attributes:
        inputs, outputs: ascending; None where none of that side was cut.
    """

    inputs: tuple[int, ...] | None = None
    outputs: tuple[int, ...] | None = None


@dataclass
class Tally:
    """Which channels are still there, while they go in several turns."""

    alive: dict[tuple[str, bool], list[int]] = field(default_factory=dict)
    """By a layer's name and whether outputs are meant."""

    def cut(self, layer: str, outputs: bool, channels: int, indices: set[int]) -> None:
        """Args:
        channels: that the layer has before this cut.
        indices: to be cut, counted among those.
        """
        alive = self.alive.setdefault((layer, outputs), list(range(channels)))
        self.alive[layer, outputs] = [each for at, each in enumerate(alive) if at not in indices]

    def kept(self) -> dict[str, Kept]:
        sides: dict[str, dict[str, tuple[int, ...]]] = {}
        for (layer, outputs), alive in self.alive.items():
            sides.setdefault(layer, {})["outputs" if outputs else "inputs"] = tuple(alive)
        return {layer: Kept(**each) for layer, each in sides.items()}


def ignore_channels(module: Any, kept: Mapping[str, Kept]) -> None:
    """Makes the module, in place, compute what it would without the channels that are not kept.

    Layers that mix channels see zeros in place of inputs that are cut; normalization over channels sees only
    those that stay. All else works on each channel by itself, or the comparison with the cut module tells.
    """
    for name, each in kept.items():
        layer = module.get_submodule(name)
        if isinstance(layer, nn.LayerNorm | nn.GroupNorm):
            if each.outputs is not None:
                layer.register_forward_hook(_normalization(layer, each.outputs))
        elif each.inputs is not None and isinstance(layer, _ConvNd | nn.Linear | nn.RNNBase):
            axis = -1 - len(layer.kernel_size) if isinstance(layer, _ConvNd) else -1
            layer.register_forward_pre_hook(_blindfold(each.inputs, axis))


def _blindfold(kept: tuple[int, ...], axis: int) -> Any:
    def zero(_: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        mask = torch.zeros(given[0].shape[axis], dtype=torch.bool)
        mask[list(kept)] = True
        shape = [1] * given[0].ndim
        shape[axis] = -1
        return given[0].masked_fill(~mask.reshape(shape), 0.0), *given[1:]

    return zero


def _normalization(layer: Any, kept: tuple[int, ...]) -> Any:
    indices = torch.tensor(kept)
    axis = -1 if isinstance(layer, nn.LayerNorm) else 1

    def normalize(_: Any, given: tuple[Any, ...], __: Any) -> Any:
        present = given[0].index_select(axis, indices)
        weight = None if layer.weight is None else layer.weight.index_select(-1, indices)
        bias = None if layer.bias is None else layer.bias.index_select(-1, indices)
        if isinstance(layer, nn.GroupNorm):
            outputs = functional.group_norm(present, layer.num_groups, weight, bias, layer.eps)
        else:
            shape = (*layer.normalized_shape[:-1], len(kept))
            outputs = functional.layer_norm(present, shape, weight, bias, layer.eps)
        return torch.zeros_like(given[0]).index_copy(axis, indices, outputs)

    return normalize
