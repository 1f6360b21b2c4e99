"""What is cut is what was ignored, and nothing else is."""

# mypy: disable-error-code="misc"
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from edgemeter_converters.compress.torch import channels, masked
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import torch_module
from edgemeter_converters.models.model import LoadedModel
from tests.integration.converters.torch_steps_nets import CLASSES, NETS, data_for, loaded, made, run, stripes

pytestmark = pytest.mark.needs_torch


def outputs_of(model: LoadedModel) -> list[Any]:
    inputs = tuple(torch.from_numpy(each) for each in data_for(model).inputs)
    with torch.no_grad():
        return torch_module.flat(model.torch(*inputs))


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
