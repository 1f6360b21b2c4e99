"""DCGAN's generator (Radford, Metz and Chintala, arXiv:1511.06434), 3.58 M parameters: latents to 64 x 64."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

LATENTS = 100
_WIDTH, _CHANNELS = 64, 3


class Generator(nn.Module):  # type: ignore[misc]
    """(batch, 100, 1, 1) -> (batch, 3, 64, 64), values from -1 to 1."""

    def __init__(self) -> None:
        super().__init__()
        widths = (LATENTS, *(_WIDTH * factor for factor in (8, 4, 2, 1)))
        layers: list[nn.Module] = []
        for at, (taken, given) in enumerate(pairwise(widths)):
            stride, padding = (2, 1) if at else (1, 0)
            layers += [
                nn.ConvTranspose2d(taken, given, 4, stride, padding, bias=False),
                nn.BatchNorm2d(given),
                nn.ReLU(),
            ]
        layers += [nn.ConvTranspose2d(_WIDTH, _CHANNELS, 4, 2, 1, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        pictures: torch.Tensor = self.layers(latents)
        return pictures


def net() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The untrained module in evaluation mode, and example inputs."""
    return Generator().eval(), (torch.zeros(1, LATENTS, 1, 1),)
