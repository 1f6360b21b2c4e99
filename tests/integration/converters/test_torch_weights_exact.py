"""What pruning and clustering promise about the weights they leave, to the last one."""

# mypy: disable-error-code="misc"
from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from edgemeter_converters.compress.torch.layers import weights
from edgemeter_converters.compress.torch.prune import prunable
from edgemeter_converters.steps.call import Ratio
from tests.integration.converters.torch_steps_nets import data_for, made, run, stripes

pytestmark = pytest.mark.needs_torch


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
