"""What each step promises about the weights it leaves, to the last one."""

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

from edgemeter_converters.compress.torch import channels, factors, masked, qat
from edgemeter_converters.compress.torch.layers import weights
from edgemeter_converters.compress.torch.prune import prunable
from edgemeter_converters.compress.torch.zeros import zeros_of
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import torch_module
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps.call import Ratio
from tests.integration.converters.torch_steps_nets import CLASSES, NETS, data_for, loaded, made, run, stripes

pytestmark = pytest.mark.needs_torch


def outputs_of(model: LoadedModel) -> list[Any]:
    inputs = tuple(torch.from_numpy(each) for each in data_for(model).inputs)
    with torch.no_grad():
        return torch_module.flat(model.torch(*inputs))


# Pruning


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("name", ["Grouped", "Recurrent", "Attention", "Tied"])
def test_every_layer_reaches_its_sparsity_exactly(name: str, trained: bool, tmp_path: Path) -> None:
    model = made(name)
    done = run(
        "prune", model, tmp_path, data_for(model) if trained else None, sparsity=0.7, epochs=2 * trained
    )
    pruned = {each.name for each in prunable(done.model.torch)}
    assert pruned
    for layer, parameter in done.model.torch.named_parameters():
        zeros = int((parameter == 0).sum())
        if layer in pruned:
            assert zeros == round(0.7 * parameter.numel()), layer
        else:
            assert trained or zeros == int((model.torch.get_parameter(layer) == 0).sum()), layer


def test_depthwise_convolutions_embeddings_and_biases_are_not_pruned() -> None:
    assert {each.layer for each in prunable(made("Tied").torch)} == {"up", "down"}
    assert "depthwise" not in {each.layer for each in prunable(made("Grouped").torch)}
    names = {each.name for each in prunable(made("Attention").torch)}
    assert {"encoder.self_attn.in_proj_weight", "encoder.self_attn.out_proj.weight"} < names
    assert {each.name for each in prunable(made("Recurrent").torch)} > {
        "lstm.weight_hh_l0",
        "gru.weight_ih_l0",
    }
    # One channel of grey makes no depthwise convolution.
    assert prunable(nn.Conv2d(1, 8, 3))


def test_the_smallest_go_and_the_rest_stay(tmp_path: Path) -> None:
    model = made("Plain")
    pruned = run("prune", model, tmp_path, sparsity=0.4).model.torch.get_parameter("dense.weight")
    before = model.torch.get_parameter("dense.weight")
    gone = pruned == 0
    assert before[gone].abs().max() <= before[~gone].abs().min()
    assert torch.equal(pruned[~gone], before[~gone])


@pytest.mark.parametrize("trained", [False, True])
def test_two_of_four_go_along_the_inputs(trained: bool, tmp_path: Path) -> None:
    model = made("UNet")
    done = run("prune", model, tmp_path, data_for(model) if trained else None, sparsity=Ratio(2, 4))
    assert any("down1" in note for note in done.notes), "three inputs are no group of four"
    for each in prunable(done.model.torch):
        along = each.parameter.detach().movedim(each.input_axis, -1)
        if along.shape[-1] >= 4:
            zeros = (along == 0).unflatten(-1, (-1, 4)).sum(-1)
            assert bool((zeros == 2).all()), each.name


def test_zeros_survive_clustering_and_quantization_aware_training(tmp_path: Path) -> None:
    model, samples = made("Residual"), stripes()
    pruned = run("prune", model, tmp_path / "prune", sparsity=0.6).model
    for step in ("cluster", "qat"):
        after = run(step, pruned, tmp_path / step, samples, original=model).model
        for before, now in zip(weights(pruned.torch), weights(after.torch), strict=True):
            assert torch.equal(before.parameter == 0, now.parameter == 0), (step, now.name)
            assert not torch.equal(before.parameter, now.parameter)


# Clustering


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("name", ["Grouped", "Recurrent", "Tied"])
def test_each_layer_has_so_many_values(name: str, trained: bool, tmp_path: Path) -> None:
    model = made(name)
    done = run("cluster", model, tmp_path, data_for(model) if trained else None, clusters=5)
    for before, after in zip(
        weights(model.torch, embeddings=True), weights(done.model.torch, embeddings=True), strict=True
    ):
        assert len(after.parameter.unique()) == min(5, len(before.parameter.unique())), after.name


def test_training_moves_centroids_not_members(tmp_path: Path) -> None:
    model = made("Plain")
    at_once = run("cluster", model, tmp_path / "0", clusters=8).model.torch.get_parameter("dense.weight")
    trained = run("cluster", model, tmp_path / "1", stripes(), clusters=8).model.torch.get_parameter(
        "dense.weight"
    )
    pairs = torch.stack([at_once.detach().flatten(), trained.detach().flatten()]).unique(dim=1)
    assert pairs.shape == (2, 8)
    assert not torch.equal(pairs[0], pairs[1])


# Channels


def test_cut_network_is_the_masked_network(tmp_path: Path) -> None:
    """Without the machinery that checks itself: channels are masked by hand and found by their weights."""
    model = made("Residual")
    cut = run("prune-channels", model, tmp_path, ratio=0.25).model.torch
    assert (cut.stem.out_channels, cut.conv1.out_channels, cut.conv2.out_channels) == (12, 12, 12)
    by_hand = NETS["Residual"]()
    by_hand.load_state_dict(model.torch.state_dict())
    by_hand.eval()
    inner = [
        row for row in range(16) if not any(_same_row(model.torch.bn1, row, cut.bn1, at) for at in range(12))
    ]
    outer = [
        row for row in range(16) if not any(_same_row(model.torch.bn0, row, cut.bn0, at) for at in range(12))
    ]
    assert len(inner) == len(outer) == 4
    with torch.no_grad():
        by_hand.conv2.weight[:, inner] = 0
        by_hand.conv1.weight[:, outer] = 0
        by_hand.head.weight[:, outer] = 0
        x = torch.from_numpy(stripes().inputs[0])
        torch.testing.assert_close(cut(x), by_hand(x), rtol=1e-5, atol=1e-5)
        assert not torch.allclose(cut(x), model.torch(x), rtol=1e-2, atol=1e-2)


def _same_row(one: Any, row: int, other: Any, at: int) -> bool:
    return bool(one.running_mean[row] == other.running_mean[at])


@pytest.mark.parametrize("name", NETS)
def test_what_is_cut_is_what_was_ignored(name: str) -> None:
    model = made(name)
    inputs = tuple(torch.from_numpy(each[:4].copy()) for each in data_for(model).inputs)
    plan = channels.plan(model.torch, inputs, 0.3, lambda words: None)
    assert plan.removals
    cut, ignoring = made(name).torch, made(name).torch
    masked.ignore_channels(ignoring, channels.remove(cut, inputs, plan.removals).kept)
    with torch.no_grad():
        for one, other in zip(
            torch_module.flat(cut(*inputs)), torch_module.flat(ignoring(*inputs)), strict=True
        ):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_grouped_channels_stay_equal_in_number(tmp_path: Path) -> None:
    cut = run("prune-channels", made("Grouped"), tmp_path, ratio=0.3).model.torch
    assert cut.depthwise.groups == cut.depthwise.out_channels == cut.stem.out_channels == 22
    # Of 12 channels in each of the 4 groups four go.
    assert (cut.grouped.groups, cut.grouped.out_channels, cut.norm.num_channels) == (4, 32, 32)
    assert cut.excite.out_channels == 32


@pytest.mark.parametrize(
    ("name", "layer", "reason"),
    [
        ("Attention", "encoder.linear2", "attention's heads"),
        ("Reshaped", "qkv", "more than its own channels"),
        ("Shuffled", "inner", "correspond"),
        ("Tied", "down", "shared"),
    ],
)
def test_layers_that_can_not_be_cut_are_named(name: str, layer: str, reason: str, tmp_path: Path) -> None:
    notes = run("prune-channels", made(name), tmp_path, ratio=0.3).notes
    assert any(layer in note and reason in note for note in notes), notes


def test_parameters_outside_of_layers_are_told(tmp_path: Path) -> None:
    done = run("prune-channels", made("NextNet"), tmp_path, ratio=0.3)
    assert done.model.torch.scale.shape == (22,)
    assert any("scale" in note for note in done.notes)


def test_outputs_of_a_network_with_several_keep_their_channels(tmp_path: Path) -> None:
    model = made("UNet")
    cut = run("prune-channels", model, tmp_path, ratio=0.5).model
    assert [tuple(each.shape) for each in outputs_of(cut)] == [
        tuple(each.shape) for each in outputs_of(model)
    ]
    assert cut.torch.down2.out_channels == 24, "its features are an output, too"
    assert cut.torch.down1.out_channels == 8


def test_network_of_nothing_but_an_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"no layer can lose channels: .*makes an output"):
        run("prune-channels", loaded(nn.Sequential(nn.Flatten(), nn.Linear(432, CLASSES))), tmp_path)


class Blind(nn.Module):
    """Its channels are added up, where their number counts: a cut that fits, and computes something else."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 1), nn.Linear(144, CLASSES)

    def forward(self, x: Any) -> Any:
        x = self.conv(x)
        return self.head((x.mean(1) + functional.relu(x).std(1)).flatten(1))


def test_cut_that_computes_something_else_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="no layer can lose channels"):
        run("prune-channels", loaded(Blind()), tmp_path)


def test_frozen_parameters_stay_frozen(tmp_path: Path) -> None:
    model = made("Residual")
    model.torch.stem.weight.requires_grad_(False)
    cut = run("prune-channels", model, tmp_path, stripes(), ratio=0.25).model.torch
    assert [name for name, each in cut.named_parameters() if not each.requires_grad] == ["stem.weight"]
    rows = model.torch.stem.weight.flatten(1).tolist()
    assert all(row in rows for row in cut.stem.weight.flatten(1).tolist())


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
