"""A step that leaves no numbers is refused; one whose model was given none for zeros either, is not."""

# mypy: disable-error-code="misc"
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgemeter_converters import recipes, stages
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import torch_module
from edgemeter_protos.v1 import variant_pb2

pytestmark = pytest.mark.needs_torch


class Shares(nn.Module):
    """Shares of the sum, which zeros have none of."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(4, 4, bias=False)

    def forward(self, x: Any) -> Any:
        return self.dense(x / x.sum(1, keepdim=True))


class Reciprocals(nn.Module):
    """Of sums with what pruning makes zero."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(4, 4, bias=False)

    def forward(self, x: Any) -> Any:
        return self.dense(x) + 1 / self.dense.weight.sum(1)


def carried_out(module: nn.Module, folder: Path) -> stages.CarriedOut:
    with torch.no_grad():
        module.get_submodule("dense").get_parameter("weight").copy_(torch.diag(torch.arange(1.0, 5.0)))
    model = torch_module.loaded(
        module.eval(), "net.py", inputs=[variant_pb2.TensorSpec(name="x", dtype="float32", shape=[-1, 4])]
    )
    (call,) = recipes.parse("prune(0.9,epochs=0)").steps[:1]
    return stages.carry_out(
        call, model, model, None, task="", seed=0, checkpoint_dir=folder, progress=lambda share, what: None
    )


def test_a_model_that_zeros_give_no_numbers_is_kept(tmp_path: Path) -> None:
    assert carried_out(Shares(), tmp_path).stage.non_zero_parameters == 2


def test_a_step_that_leaves_no_numbers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="left a model that gives NaN or infinity: it is not kept"):
        carried_out(Reciprocals(), tmp_path)
