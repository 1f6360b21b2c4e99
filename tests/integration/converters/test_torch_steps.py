"""Each step on networks of many shapes: it gives a plain module that computes, or a reason."""

# mypy: disable-error-code="misc"
from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import torch_module
from edgemeter_converters.models.model import LoadedModel
from tests.integration.converters.torch_steps_nets import NETS, data_for, loaded, made, run

pytestmark = pytest.mark.needs_torch

STEPS: dict[str, dict[str, Any]] = {
    "prune": {"sparsity": 0.5},
    "prune-channels": {"ratio": 0.3},
    "low-rank": {"budget": 0.5},
    "cluster": {"clusters": 4},
    "distill": {"width": 0.5},
    "qat": {},
}


def assert_is_plain(model: LoadedModel) -> None:
    """A module in evaluation mode that pickles, exports, and has nothing of training left on it."""
    module = model.torch
    for each in module.modules():
        assert not each.training
        assert not parametrize.is_parametrized(each)
        assert not each._forward_hooks
        assert not each._forward_pre_hooks
    assert all(each.grad is None for each in module.parameters())
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    inputs = tuple(torch.from_numpy(each[:2].copy()) for each in data_for(model).inputs)
    with torch.no_grad():
        for one, other in zip(
            torch_module.flat(module(*inputs)), torch_module.flat(again(*inputs)), strict=True
        ):
            assert torch.equal(one, other)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("step", STEPS)
def test_every_network_stays_a_network(step: str, name: str, tmp_path: Path) -> None:
    model = made(name)
    before = {key: tensor.clone() for key, tensor in model.torch.state_dict().items()}
    samples = data_for(model)
    for training in (None, samples):
        done = run(step, model, tmp_path, training, **STEPS[step])
        assert_is_plain(done.model)
        outputs = torch_module.predict(done.model.network, samples.inputs)
        assert [each.shape[1:] for each in outputs] == [
            tuple(each.shape[1:]) for each in model.signature.outputs
        ]
        assert all(np.isfinite(each).all() for each in outputs)
        assert done.epochs == (0 if training is None else 1)
        assert (done.first_loss is None) == (training is None)
    after = model.torch.state_dict()
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items())
    smaller = step in {"prune-channels", "low-rank", "distill"}
    assert done.model.parameters < model.parameters if smaller else done.model.parameters == model.parameters


@pytest.mark.parametrize("step", STEPS)
def test_result_exports(step: str, tmp_path: Path) -> None:
    for name in ("Residual", "Attention"):
        model = made(name)
        done = run(step, model, tmp_path / name, data_for(model), **STEPS[step])
        inputs = tuple(torch.from_numpy(each[:1].copy()) for each in data_for(model).inputs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(done.model.network, inputs)
            found, expected = program.module()(*inputs), done.model.torch(*inputs)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


class Nothing(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.mean((2, 3))


@pytest.mark.parametrize("step", STEPS)
def test_network_without_weights_is_refused(step: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError) as refused:
        run(step, loaded(Nothing()), tmp_path, **STEPS[step])
    assert refused.value.message.startswith(f"{step}: ")


@pytest.mark.parametrize("step", STEPS)
def test_parametrized_weights_become_plain_ones(step: str, tmp_path: Path) -> None:
    module = NETS["Plain"]()
    nn.utils.parametrizations.weight_norm(module.get_submodule("conv2"))
    model = loaded(module)
    assert_is_plain(run(step, model, tmp_path, **STEPS[step]).model)
    assert parametrize.is_parametrized(module.get_submodule("conv2"))


class Half(nn.Module):
    def forward(self, x: Any) -> Any:
        return x / 2


def test_weights_under_a_parametrization_keep_their_values(tmp_path: Path) -> None:
    module = NETS["Plain"]()
    parametrize.register_parametrization(module.get_submodule("dense"), "weight", Half())
    model = loaded(module)
    samples = data_for(model)
    done = run("qat", model, tmp_path)
    (found,), (expected,) = (
        torch_module.predict(each.network, samples.inputs) for each in (done.model, model)
    )
    np.testing.assert_array_equal(found, expected)
