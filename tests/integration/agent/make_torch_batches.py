"""Writes a small convolutional network for one sample and for many: `python -m … FOLDER`.

net.pt, static.pt2, dynamic.pt2 (2 to 8 samples), folded.pt (makes one row of a batch), static.pte and
dynamic.pte (up to 8) by XNNPACK, plain.pte by ExecuTorch's kernels; samples.npz with 4 inputs and the
network's outputs.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from torch import nn


class Net(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Any) -> Any:
        return self.head(torch.relu(self.second(torch.relu(self.first(x)))).mean((2, 3)))


class Folded(nn.Module):  # type: ignore[misc]
    def forward(self, x: Any) -> Any:
        return x.reshape(1, -1)


def main(folder: Path) -> None:
    torch.manual_seed(1)
    net = Net().eval()
    samples = torch.rand(4, 3, 32, 32)
    with torch.inference_mode():
        np.savez(folder / "samples.npz", input_0=samples.numpy(), output_0=net(samples).numpy())
    torch.jit.save(torch.jit.trace(net, samples[:1]), folder / "net.pt")
    torch.jit.save(torch.jit.trace(Folded(), samples[:1]), folder / "folded.pt")
    static = torch.export.export(net, (samples[:1],))
    dynamic = torch.export.export(net, (samples,), dynamic_shapes=({0: torch.export.Dim("n", min=1, max=8)},))
    torch.export.save(static, folder / "static.pt2")
    torch.export.save(dynamic, folder / "dynamic.pt2")
    for name, program, parts in (
        ("static", static, [XnnpackPartitioner()]),
        ("dynamic", dynamic, [XnnpackPartitioner()]),
        ("plain", static, []),
    ):
        lowered = to_edge_transform_and_lower(program, partitioner=parts).to_executorch()
        (folder / f"{name}.pte").write_bytes(lowered.buffer)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]))
