"""Keras models as torch programs: the same numbers, and graphs as a torch network would have them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs_tensorflow,
    pytest.mark.needs_torch,
    pytest.mark.timeout(600),
    # Exporting warns of torch's own deprecations.
    pytest.mark.filterwarnings("ignore"),
]

NAMES = ["patterns", "two", "recurrent"]


@pytest.fixture(scope="module")
def report(networks: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    out = tmp_path_factory.mktemp("bridge") / "report.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.converters.bridge_keras", str(networks), str(out), *NAMES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    loaded: dict[str, dict[str, Any]] = json.loads(out.read_text())
    return loaded


@pytest.mark.parametrize("name", NAMES)
def test_a_keras_model_and_its_program_give_the_same(name: str, report: dict[str, Any]) -> None:
    assert report[name]["error"] < 1e-4
    assert all(shape[0] == 1 for shape in report[name]["inputs"])
    # Kernels are not stored twice; constants of normalization are fewer than its weights.
    assert report[name]["weights"] <= report[name]["original_weights"]


def test_convolutions_stand_as_in_a_torch_network(report: dict[str, Any]) -> None:
    ops = Counter(report["patterns"]["ops"])
    assert ops["aten.conv2d.default"] == 3
    assert ops["aten.linear.default"] == 2
    # One into channels-first and one back out; kernels are turned no more, normalization is in the kernels.
    assert ops["aten.permute.default"] <= 2
    assert not ops["aten.rsqrt.default"] + ops["aten._assert_tensor_metadata.default"]
    assert 1e-6 < report["patterns"]["int8_error"] < 0.1


def test_folding_leaves_what_it_can_not_move() -> None:
    import torch

    from edgemeter_converters.models import program_folding

    class Odd(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.kernel = torch.nn.Parameter(torch.randn(3, 3, 4, 6))
            self.shift = torch.nn.Parameter(torch.randn(6))
            self.matrix = torch.nn.Parameter(torch.randn(6, 5))

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            first = torch.conv2d(x.permute(0, 3, 1, 2), self.kernel.permute(3, 2, 0, 1))
            y = first.permute(0, 2, 3, 1) * self.shift + self.shift
            # Used twice; added along another axis than the channels'; written in place; a minuend.
            z = torch.relu(y) + torch.arange(y.shape[2], dtype=torch.float32).reshape(1, 1, -1, 1)
            z.mul_(2)
            return self.shift - z, z.transpose(1, 2).reshape(1, -1, 6) @ self.matrix, y.mean((1, 2))

    torch.manual_seed(0)
    module = Odd().eval()
    x = torch.randn(1, 8, 7, 4)
    with torch.no_grad():
        program = torch.export.export(module, (torch.zeros(1, 8, 7, 4),))
        folded = program_folding.fold(program)
        for wanted, got in zip(module(x), folded(x), strict=True):
            np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=1e-4, atol=1e-4)
    ops = Counter(str(node.target) for node in folded.graph.nodes)
    assert ops["aten.linear.default"] == 1
    # The kernel alone is turned no more, and the scale and the shift are in it.
    assert sum("mul" in name for name in ops) == 1
