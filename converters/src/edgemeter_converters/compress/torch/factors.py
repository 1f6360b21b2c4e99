"""Layers in two or three thinner parts, which compute what one layer did where nothing was cut off."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd


class FactorizedLinear(nn.Module):  # type: ignore[misc]
    """A dense layer as the product of two: (…, inputs) to (…, rank) to (…, outputs)."""

    def __init__(self, first: nn.Linear, second: nn.Linear) -> None:
        super().__init__()
        self.first, self.second = first, second
        self.in_features, self.out_features = first.in_features, second.out_features

    @property
    def weight(self) -> Any:
        """The product, for code that asks for a dense layer's weight: (outputs, inputs)."""
        return self.second.weight @ self.first.weight

    @property
    def bias(self) -> Any:
        return self.second.bias

    def forward(self, inputs: Any) -> Any:
        return self.second(self.first(inputs))


class FactorizedConv(nn.Sequential):  # type: ignore[misc]
    """A convolution as a pointwise one to fewer channels, the spatial one between them, and a pointwise one
    back (Kim et al., arXiv:1511.06530, figure 1); without the first where it keeps all input channels, or
    where the kernel is pointwise itself.
    """


def svd(layer: nn.Linear, rank: int) -> FactorizedLinear:
    """A dense layer's best approximation of that rank: the singular values are split between the factors."""
    left, right = _balanced(layer.weight.detach(), rank)
    first = _linear(layer, layer.in_features, rank, right, None)
    second = _linear(layer, rank, layer.out_features, left, layer.bias)
    return FactorizedLinear(first, second)


def pointwise_svd(layer: _ConvNd, rank: int) -> FactorizedConv:
    """A pointwise convolution's best approximation of that rank."""
    weight = layer.weight.detach()
    left, right = _balanced(weight.flatten(1), rank)
    ones = weight.shape[2:]
    return FactorizedConv(
        _thinner(layer, right.reshape(rank, -1, *ones)),
        _pointwise(layer, left.reshape(-1, rank, *ones), layer.bias),
    )


def tucker2(layer: _ConvNd, input_rank: int, output_rank: int) -> FactorizedConv:
    """A convolution's truncated higher-order SVD over its two channel dimensions (De Lathauwer et al.,
    SIAM J. Matrix Anal. Appl. 21(4), 2000)."""
    weight = layer.weight.detach().double()
    outputs = _leading(weight.flatten(1), output_rank)
    inputs = _leading(weight.transpose(0, 1).flatten(1), input_rank)
    ones = (1,) * (weight.ndim - 2)
    last = _pointwise(layer, outputs.reshape(-1, output_rank, *ones), layer.bias)
    core = torch.einsum("oi...,or->ri...", weight, outputs)
    if input_rank == layer.in_channels:
        return FactorizedConv(_thinner(layer, core), last)
    first = _pointwise(layer, inputs.T.reshape(input_rank, -1, *ones), None)
    return FactorizedConv(first, _thinner(layer, torch.einsum("ri...,is->rs...", core, inputs)), last)


def computes_the_same(layer: _ConvNd, factors: FactorizedConv) -> bool:
    """Whether the factors compute what the layer would with their product for its weight: a subclass of a
    convolution may pad its inputs, which goes, or normalize its weight, which does not."""
    last = factors[-1].weight.flatten(1)
    product = torch.einsum("or,ri...->oi...", last, factors[-2].weight)
    if len(factors) == 3:
        product = torch.einsum("or...,ri->oi...", product, factors[0].weight.flatten(1))
    whole = copy.deepcopy(layer)
    with torch.no_grad():
        whole.weight.copy_(product)
        random = torch.Generator().manual_seed(0)
        size = [2 * kernel + 7 for kernel in layer.kernel_size]
        inputs = torch.rand((2, layer.in_channels, *size), generator=random).to(layer.weight.dtype)
        try:
            expected, found = whole(inputs), factors(inputs)
        except (RuntimeError, TypeError, ValueError):
            return False
    allowed = 1e-4 * float(expected.abs().max())
    return bool(expected.shape == found.shape and torch.allclose(expected, found, rtol=0, atol=allowed))


def singular_values(matrix: Any) -> list[float]:
    """The largest first."""
    values: list[float] = torch.linalg.svdvals(matrix.detach().double()).tolist()
    return values


def _balanced(matrix: Any, rank: int) -> tuple[Any, Any]:
    """(rows, rank) and (rank, columns), whose product is nearest to the matrix."""
    left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    root = values[:rank].sqrt()
    return left[:, :rank] * root, root[:, None] * right[:rank]


def _leading(matrix: Any, rank: int) -> Any:
    return torch.linalg.svd(matrix, full_matrices=False)[0][:, :rank]


def _linear(like: nn.Linear, inputs: int, outputs: int, weight: Any, bias: Any) -> nn.Linear:
    made = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias is not None, dtype=like.weight.dtype)
    _fill(made, like, weight, bias)
    return made


def _thinner(like: _ConvNd, weight: Any) -> Any:
    """The same convolution, with its kernel, stride, padding and dilation, of other channels and no bias."""
    made = copy.deepcopy(like)
    made.out_channels, made.in_channels = weight.shape[:2]
    made.weight = nn.Parameter(weight.to(like.weight.dtype).contiguous(), like.weight.requires_grad)
    made.bias = None
    return made


def _pointwise(like: _ConvNd, weight: Any, bias: Any) -> Any:
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[weight.ndim - 3]
    made = nn.utils.skip_init(
        kind, weight.shape[1], weight.shape[0], 1, bias=bias is not None, dtype=like.weight.dtype
    )
    _fill(made, like, weight, bias)
    return made


def _fill(made: Any, like: Any, weight: Any, bias: Any) -> None:
    with torch.no_grad():
        made.weight.copy_(weight)
        if bias is not None:
            made.bias.copy_(bias)
    for parameter in made.parameters():
        parameter.requires_grad_(like.weight.requires_grad)
    made.eval()
