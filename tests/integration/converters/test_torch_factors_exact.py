"""Factors of full rank are the layer; rounding is what an int8 kernel does."""

# mypy: disable-error-code="misc"
from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from edgemeter_converters.compress.torch import factors, qat
from edgemeter_converters.compress.torch.layers import weights
from edgemeter_converters.compress.torch.zeros import zeros_of
from tests.integration.converters.torch_steps_nets import CLASSES, loaded, made, run, stripes

pytestmark = pytest.mark.needs_torch


# Low rank


def test_dense_factors_of_full_rank_are_the_layer() -> None:
    layer = nn.Linear(20, 12)
    x = torch.randn(5, 20)
    torch.testing.assert_close(factors.svd(layer, 12)(x), layer(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(factors.svd(layer, 12).weight, layer.weight, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(6, 10, 3, stride=2, padding=1),
        nn.Conv2d(6, 10, (3, 5), padding="same", dilation=2, bias=False),
        nn.Conv2d(6, 10, 3, padding=2, padding_mode="reflect"),
        nn.Conv1d(6, 10, 5, padding=2),
        nn.Conv3d(6, 10, 3),
    ],
)
def test_convolution_factors_of_full_rank_are_the_layer(layer: Any) -> None:
    x = torch.randn(2, 6, *[11] * (layer.weight.ndim - 2))
    torch.testing.assert_close(factors.tucker2(layer, 6, 10)(x), layer(x), rtol=1e-4, atol=1e-5)


def test_convolution_of_lower_rank_is_found_to_be_so() -> None:
    layer, x = nn.Conv2d(16, 12, 3, stride=2, padding=1), torch.randn(2, 16, 9, 9)
    with torch.no_grad():
        layer.weight.copy_(
            torch.einsum("rsxy,or,is->oixy", torch.randn(5, 4, 3, 3), torch.randn(12, 5), torch.randn(16, 4))
        )
    thin = factors.tucker2(layer, 4, 5)
    assert [tuple(each.weight.shape) for each in thin] == [(4, 16, 1, 1), (5, 4, 3, 3), (12, 5, 1, 1)]
    torch.testing.assert_close(thin(x), layer(x), rtol=1e-4, atol=1e-3)


def test_pointwise_factors_of_full_rank_are_the_layer() -> None:
    layer, x = nn.Conv2d(6, 10, 1, stride=2, padding=1), torch.randn(2, 6, 9, 9)
    torch.testing.assert_close(factors.pointwise_svd(layer, 6)(x), layer(x), rtol=1e-4, atol=1e-5)


def test_lower_ranks_are_nearer_the_higher_they_are() -> None:
    layer, x = nn.Conv2d(16, 16, 3), torch.randn(4, 16, 9, 9)
    errors = [
        float((factors.tucker2(layer, rank, rank)(x) - layer(x)).detach().norm()) for rank in (4, 8, 12, 16)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 100 * errors[-1]


@pytest.mark.parametrize("name", ["Plain", "Residual", "Reshaped"])
def test_factors_keep_to_the_budget(name: str, tmp_path: Path) -> None:
    model = made(name)
    done = run("low-rank", model, tmp_path, budget=0.4).model.torch
    checked = 0
    for layer, each in model.torch.named_modules():
        made_of = done.get_submodule(layer)
        if isinstance(made_of, factors.FactorizedLinear | factors.FactorizedConv):
            parts = list(made_of.children())
            assert sum(part.weight.numel() for part in parts) <= 0.4 * each.weight.numel()
            assert all(part.weight.shape[0] >= 8 for part in parts[:-1])
            checked += 1
    assert checked >= 1


class Padded(nn.Conv2d):
    """Pads by itself, as TensorFlow does."""

    def forward(self, x: Any) -> Any:
        return super().forward(functional.pad(x, (0, 1, 0, 1)))


class Standardized(nn.Conv2d):
    """Takes its weight's mean away: no product of factors can stand in for it."""

    def forward(self, x: Any) -> Any:
        return functional.conv2d(x, self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True), self.bias)


def test_special_convolutions_are_factorized_only_where_that_is_right(tmp_path: Path) -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 16, 1),
        Padded(16, 64, 2),
        Standardized(64, 16, 3),
        nn.Flatten(),
        nn.Linear(1600, CLASSES),
    )
    done = run("low-rank", loaded(module), tmp_path, budget=0.5)
    assert isinstance(done.model.torch[1], factors.FactorizedConv)
    assert any(isinstance(each, Padded) for each in done.model.torch[1])
    assert type(done.model.torch[2]) is Standardized
    assert any("no substitute: 0, 2, 4." in note for note in done.notes)


# Quantization-aware training


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_rounded_weights_are_255_levels_at_most(axis: int | None) -> None:
    weight = torch.randn(6, 5, 3, 3)
    rounded = qat.round_weight(weight, axis)
    for each, exact in zip(
        *((t.unbind(axis) if axis is not None else [t]) for t in (rounded, weight)), strict=True
    ):
        step = exact.abs().max() / 127
        levels = each / step
        torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-3)
        assert levels.abs().max() == pytest.approx(127, abs=1e-3)
        assert (each - exact).abs().max() <= step * 0.501
    assert torch.equal(qat.round_weight(torch.zeros(2, 2), 0), torch.zeros(2, 2))


def test_rounded_activations_have_zero_exactly_and_a_gradient_inside_their_range() -> None:
    values = torch.linspace(-1, 3, 1001, requires_grad=True)
    rounded = qat.round_activations(values, torch.tensor(-0.5), torch.tensor(2.05))
    assert len(rounded.unique()) == 256
    assert (rounded == 0).any()
    inside = (values > -0.49) & (values < 2.04)
    assert float((rounded - values).detach()[inside].abs().max()) <= 0.0051
    rounded.sum().backward()
    assert bool((values.grad[inside] == 1).all())
    assert bool((values.grad[(values < -0.52) | (values > 2.07)] == 0).all())


def test_training_makes_up_for_rounding(tmp_path: Path) -> None:
    """One scale for a tensor with an outlier: rounding hurts, and less so once it was trained under."""
    model = made("Plain")
    with torch.no_grad():
        model.torch.dense.weight[0, 0] = 8.0
    samples = stripes()

    def rounding_error(module: Any) -> float:
        """Of the answers, as an integer network gives them: normalization folded, then rounded."""
        folded = copy.deepcopy(module)
        folded.conv1, folded.bn = nn.utils.fuse_conv_bn_eval(folded.conv1, folded.bn), nn.Identity()
        with torch.no_grad():
            for each in weights(folded):
                each.parameter.copy_(qat.round_weight(each.parameter, None))
            x = torch.from_numpy(samples.inputs[0])
            found, wanted = (functional.log_softmax(each(x), dim=1) for each in (folded, model.torch))
            return float(functional.kl_div(found, wanted, log_target=True, reduction="batchmean"))

    unlabelled = type(samples)(inputs=samples.inputs)
    done = run("qat", model, tmp_path, unlabelled, epochs=12, lr=2e-3, per_tensor=True)
    assert rounding_error(done.model.torch) < 0.5 * rounding_error(model.torch)


def test_one_scale_for_a_tensor_is_that_of_folded_weights() -> None:
    """What the network computes with rounded weights is what it does when they are folded, then rounded."""
    module = made("Residual").torch
    x = torch.from_numpy(stripes().inputs[0])
    norms = qat.folded_norms(module, (x,))
    assert norms == {"stem": module.bn0, "conv1": module.bn1, "conv2": module.bn2}
    with torch.no_grad():
        module.bn1.weight[3] = 0.0
        module.bn2.weight[5] = -4.0
    folded = nn.utils.fuse_conv_bn_eval(module.conv2, module.bn2)
    expected = qat.round_weight(folded.weight.detach(), None)
    (conv2,) = (each for each in weights(module) if each.layer == "conv2")
    hold = qat.RoundedWeights(
        weights(module), zeros_of(module), qat.Ranges(module, ()), norms, per_tensor=True
    )
    hold.before_forward()
    scale = (module.bn2.weight / (module.bn2.running_var + module.bn2.eps).sqrt()).detach()
    torch.testing.assert_close(conv2.parameter.detach() * scale[:, None, None, None], expected)
    assert all(bool(torch.isfinite(each.parameter).all()) for each in weights(module))
    hold.after_backward()
    assert torch.equal(conv2.parameter, made("Residual").torch.conv2.weight)


def test_kept_layers_are_not_rounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounded: list[int] = []
    exact = qat.round_weight

    def counted(weight: Any, axis: int | None) -> Any:
        rounded.append(weight.numel())
        return exact(weight, axis)

    monkeypatch.setattr(qat, "round_weight", counted)
    model = made("Plain")
    run("qat", model, tmp_path, stripes(32), batch=32, keep="conv*")
    assert sorted(set(rounded)) == sorted([model.torch.dense.weight.numel(), model.torch.head.weight.numel()])


def test_batch_normalization_keeps_its_statistics_in_quantization_aware_training(tmp_path: Path) -> None:
    model = made("Residual")
    done = run("qat", model, tmp_path, stripes())
    assert np.array_equal(done.model.torch.bn1.running_mean, model.torch.bn1.running_mean)
