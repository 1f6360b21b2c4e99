"""Small torch networks, each odd in its own way, with inputs that they take. Weights come from a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from edgemeter_protos.v1 import variant_pb2


class Residual(nn.Module):  # type: ignore[misc]
    """A residual add, batch normalization, and a tensor method in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Any) -> Any:
        x = self.norm(self.first(x)).relu()
        x = functional.relu(x + self.second(x))
        return self.head(x.mean((2, 3)))


class Depthwise(nn.Module):  # type: ignore[misc]
    """Depthwise and grouped convolutions, activations of mobile networks."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 1),
            nn.ReLU6(),
            nn.Conv2d(8, 8, 3, groups=8, padding=1),
            nn.Hardswish(),
            nn.Conv2d(8, 12, 3, groups=4),
            nn.ReLU(),
        )
        self.head = nn.Linear(12, 4)

    def forward(self, x: Any) -> Any:
        return self.head(torch.flatten(functional.adaptive_avg_pool2d(self.body(x), 1), 1))


class Inception(nn.Module):  # type: ignore[misc]
    """Branches of different kernels, concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.point = nn.Conv2d(3, 4, 1)
        self.wide = nn.Conv2d(3, 4, 3, padding=1)
        self.last = nn.Conv2d(11, 4, 1)

    def forward(self, x: Any) -> Any:
        pooled = functional.max_pool2d(x, 3, 1, 1)
        return self.last(torch.cat([self.point(x), self.wide(x).relu(), pooled], 1)).amax((2, 3))


class Lstm(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.lstm(x)[0][:, -1])


class Gru(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.gru(x)[0][:, -1])


class Attention(nn.Module):  # type: ignore[misc]
    """Multi-head attention and layer normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.norm(x + self.attention(x, x, x, need_weights=False)[0]).mean(1))


class UNet(nn.Module):  # type: ignore[misc]
    """A skip connection around a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 6, 3, padding=1)
        self.middle = nn.Conv2d(6, 12, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(12, 6, 2, stride=2)
        self.out = nn.Conv2d(12, 2, 1)

    def forward(self, x: Any) -> Any:
        down = self.down(x).relu()
        return self.out(torch.cat([down, self.up(self.middle(down).relu())], 1))


class TwoHeads(nn.Module):  # type: ignore[misc]
    """Two inputs, and two outputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(6, 8)
        self.wide = nn.Linear(8, 4)
        self.narrow = nn.Linear(8, 2)

    def forward(self, x: Any, y: Any) -> Any:
        hidden = torch.tanh(self.body(x) + y)
        return {"wide": self.wide(hidden), "narrow": self.narrow(hidden)}


class Tied(nn.Module):  # type: ignore[misc]
    """Integers in, and one weight used as embedding and as output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.middle = nn.Linear(8, 8)
        self.out = nn.Linear(8, 20, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, x: Any) -> Any:
        return self.out(self.middle(self.embedding(x)).mean(1))


class Branching(nn.Module):  # type: ignore[misc]
    """What it computes depends on what it is given: a trace of it would be wrong without a word."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 2)

    def forward(self, x: Any) -> Any:
        return self.head(x) if x.sum() > 0 else -self.head(x)


IMAGE = (("float32", (3, 12, 12)),)
SEQUENCE = (("float32", (5, 6)),)

NETWORKS: dict[str, tuple[Callable[[], Any], tuple[tuple[str, tuple[int, ...]], ...]]] = {
    "residual": (Residual, IMAGE),
    "depthwise": (Depthwise, IMAGE),
    "inception": (Inception, IMAGE),
    "lstm": (Lstm, SEQUENCE),
    "gru": (Gru, SEQUENCE),
    "attention": (Attention, (("float32", (7, 8)),)),
    "unet": (UNet, IMAGE),
    "two": (TwoHeads, (("float32", (6,)), ("float32", (8,)))),
    "tied": (Tied, (("int64", (9,)),)),
    "branching": (Branching, (("float32", (6,)),)),
}


def network(name: str) -> Any:
    torch.manual_seed(1)
    module = NETWORKS[name][0]()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    return module.eval()


def inputs(name: str, samples: int, seed: int) -> tuple[NDArray[Any], ...]:
    """Random, in a range that no calibration sample falls far short of."""
    random = np.random.RandomState(seed)
    return tuple(
        random.randint(0, 20, (samples, *shape)).astype(dtype)
        if dtype == "int64"
        else random.uniform(-1, 1, (samples, *shape)).astype(dtype)
        for dtype, shape in NETWORKS[name][1]
    )


def specs(name: str) -> list[variant_pb2.TensorSpec]:
    return [
        variant_pb2.TensorSpec(name=f"in_{at}", dtype=dtype, shape=[-1, *shape])
        for at, (dtype, shape) in enumerate(NETWORKS[name][1])
    ]
