"""Fine-tuning of torch modules: it learns, repeats itself, goes on where it was, gives up with a reason."""

# mypy: disable-error-code="misc"
from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from edgemeter_converters.datasets.dataset import Samples
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps.training_arguments import FineTuning
from edgemeter_converters.training import checkpoint
from edgemeter_converters.training.torch import fine_tune
from edgemeter_converters.training.torch_objective import Objective
from tests.integration.converters.torch_steps_nets import (
    CLASSES,
    NETS,
    accuracy,
    context_of,
    loaded,
    made,
    run,
    stripes,
    work_of,
)

pytestmark = pytest.mark.needs_torch

TUNING = FineTuning(epochs=3, learning_rate=3e-3, batch_size=16, seed=5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A network that has learned the stripes."""
    model = made("Residual")
    context = context_of("prune", model, tmp_path_factory.mktemp("checkpoint"), stripes(320), {})
    fine_tune(model.torch, context, FineTuning(epochs=8, learning_rate=1e-2, batch_size=16, seed=1))
    assert accuracy(model, stripes(200, seed=9)) > 0.95
    return model


@pytest.mark.parametrize(
    ("step", "arguments"),
    [
        ("prune", {"sparsity": 0.6}),
        ("prune-channels", {"ratio": 0.3}),
        ("low-rank", {"budget": 0.4}),
        ("cluster", {"clusters": 4}),
        ("distill", {"width": 0.5}),
    ],
)
def test_what_a_step_loses_training_brings_back(
    step: str, arguments: dict[str, Any], trained: LoadedModel, tmp_path: Path
) -> None:
    test = stripes(200, seed=9)
    at_once = run(step, trained, tmp_path / "0", **arguments)
    after = run(step, trained, tmp_path / "4", stripes(320), epochs=4, lr=5e-3, **arguments)
    assert accuracy(after.model, test) >= accuracy(trained, test) - 0.05
    assert accuracy(after.model, test) > accuracy(at_once.model, test) or accuracy(at_once.model, test) > 0.95
    assert after.first_loss is not None
    assert after.last_loss is not None
    # While sparsity rises, so does the loss.
    assert after.last_loss < after.first_loss or step == "prune"


def test_without_labels_the_original_teaches(trained: LoadedModel, tmp_path: Path) -> None:
    unlabelled = Samples(inputs=stripes(320).inputs)
    done = run("prune-channels", trained, tmp_path, unlabelled, epochs=4, lr=5e-3)
    assert accuracy(done.model, stripes(200, seed=9)) > 0.9


class Interrupted(Exception):
    """What a killed worker looks like from inside."""


@pytest.mark.parametrize(
    ("step", "name"),
    [("prune", "Residual"), ("cluster", "Plain"), ("qat", "Plain"), ("prune-channels", "Attention")],
)
def test_interrupted_training_ends_where_it_would_have(step: str, name: str, tmp_path: Path) -> None:
    """Attention has dropout: its random numbers go on, too."""
    model = made(name)
    arguments: dict[str, Any] = {"epochs": 3}
    told: list[tuple[float, str]] = []

    def fails_in_the_third_epoch(share: float, words: str) -> None:
        told.append((share, words))
        if "epoch 3" in words:
            raise Interrupted

    whole = run(step, model, tmp_path / "whole", stripes(), **arguments)
    context = context_of(
        step, model, tmp_path / "cut", stripes(), arguments, progress=fails_in_the_third_epoch
    )
    with pytest.raises(Interrupted):
        work_of(step)(model, context)
    told_before = len(told)
    resumed = run(step, model, tmp_path / "cut", stripes(), **arguments)
    assert told_before >= 3
    assert (resumed.epochs, resumed.first_loss, resumed.last_loss) == (3, whole.first_loss, whole.last_loss)
    assert resumed.notes == whole.notes
    for key, tensor in whole.model.torch.state_dict().items():
        assert torch.equal(tensor, resumed.model.torch.state_dict()[key]), key


@pytest.mark.parametrize("damage", ["cut short", "other settings", "no tensors"])
def test_unusable_checkpoint_is_ignored_with_a_note(damage: str, tmp_path: Path) -> None:
    model = made("Plain")
    file = tmp_path / "used" / checkpoint.FILE_NAME
    arguments: dict[str, Any] = {"sparsity": 0.5, "epochs": 1}
    run(
        "prune",
        model,
        file.parent,
        stripes(),
        **(arguments | {"lr": 0.1 if damage == "other settings" else 1e-3}),
    )
    if damage == "cut short":
        file.write_bytes(file.read_bytes()[:-100])
    if damage == "no tensors":
        forge(file)
    done = run("prune", model, file.parent, stripes(), **arguments)
    fresh = run("prune", model, tmp_path / "fresh", stripes(), **arguments)
    assert len(done.notes) == 1
    assert "ignored: it started anew" in done.notes[0]
    assert done.last_loss == fresh.last_loss


def forge(file: Path) -> None:
    """A checkpoint that is whole, and holds a pickle of something else."""
    content = file.read_bytes()
    header = content[: len(checkpoint._MAGIC) + 32]
    payload = pickle.dumps(Path("/"), protocol=2)
    file.write_bytes(header + hashlib.sha256(payload).digest() + payload)


def test_repeats_itself_by_its_seed(tmp_path: Path) -> None:
    model = made("Attention")

    def weights_by(seed: int, folder: str) -> Any:
        done = run("prune", model, tmp_path / folder, stripes(), seed=seed)
        return done.model.torch.get_parameter("embed.weight")

    before = torch.get_rng_state()
    first = weights_by(1, "a")
    assert torch.equal(before, torch.get_rng_state()), "the process's own random numbers are left alone"
    assert torch.equal(first, weights_by(1, "b"))
    assert not torch.equal(first, weights_by(2, "c"))


def test_divergence_is_told_and_nothing_is_kept(tmp_path: Path) -> None:
    model = made("Plain")
    samples = stripes()
    samples.inputs[0][40] = np.nan
    with pytest.raises(ConversionError, match=r"diverged \(loss NaN in epoch 1\): lower lr="):
        run("prune", model, tmp_path, samples, epochs=2)
    assert all(bool(torch.isfinite(each).all()) for each in model.torch.parameters())
    assert not (tmp_path / checkpoint.FILE_NAME).exists()


def test_training_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="needs training samples: give data, or epochs=0"):
        run("prune", made("Plain"), tmp_path, epochs=1)


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(432, CLASSES)

    def forward(self, x: Any) -> Any:
        with torch.no_grad():
            return self.head(x.flatten(1))


def test_module_without_gradients_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="carry no gradient"):
        run("prune", loaded(Detached()), tmp_path, stripes())


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Any) -> Any:
        return (self.conv(x).mean((2, 3)) > 0).long().unsqueeze(-1)


def test_module_of_whole_numbers_can_not_be_trained(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="floating-point"):
        run("prune", loaded(Counts()), tmp_path, stripes())


class Single(nn.Module):
    """Knows its batch: one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 6, 3), nn.Linear(6, CLASSES)

    def forward(self, x: Any) -> Any:
        return self.head(functional.relu(self.conv(x)).mean((2, 3)).reshape(1, 6))


def test_module_that_takes_one_sample_learns_from_batches(tmp_path: Path) -> None:
    model = loaded(Single())
    assert model.signature.inputs[0].shape[0] == 1
    done = run("prune", model, tmp_path, stripes(), epochs=5, lr=1e-2, sparsity=0.3)
    assert done.last_loss is not None
    assert done.first_loss is not None
    assert done.last_loss < done.first_loss


class Ends(nn.Module):
    """The same scores, as logits, as probabilities, or as a probability of each class."""

    def __init__(self, end: Any) -> None:
        super().__init__()
        self.body, self.end = NETS["Plain"](), end

    def forward(self, x: Any) -> Any:
        return self.end(self.body(x))


def test_probabilities_and_logits_have_the_same_loss() -> None:
    samples = stripes()
    module = NETS["Plain"]()
    inputs, labels = torch.from_numpy(samples.inputs[0]), torch.from_numpy(samples.labels)
    losses = []
    for end in (nn.Identity(), nn.Softmax(dim=1), nn.LogSoftmax(dim=1)):
        ended = Ends(end)
        ended.body = module
        model = loaded(ended)
        for temperature in (None, 3.0):
            objective = Objective(model, samples, "classification", temperature)
            losses.append(float(objective.loss([model.torch(inputs)], (inputs,), labels).detach()))
    hard, soft = losses[0], losses[1]
    assert losses == pytest.approx([hard, soft] * 3, rel=1e-4)
    assert hard == pytest.approx(float(functional.cross_entropy(module(inputs), labels).detach()), rel=1e-5)
    # The student is the teacher: nothing diverges, and half of the loss is the labels'.
    assert soft == pytest.approx(hard / 2, rel=1e-4)


def test_probability_of_each_class_is_learned_by_itself() -> None:
    samples = stripes()
    model = loaded(Ends(nn.Sigmoid()))
    inputs, labels = torch.from_numpy(samples.inputs[0]), torch.from_numpy(samples.labels)
    scores = model.torch(inputs)
    wanted = functional.binary_cross_entropy(scores, functional.one_hot(labels, CLASSES).float())
    found = Objective(model, samples, "classification").loss([scores], (inputs,), labels)
    assert float(found.detach()) == pytest.approx(float(wanted.detach()), rel=1e-4)
    taught = Objective(model, Samples(inputs=samples.inputs), "classification").loss(
        [scores], (inputs,), None
    )
    assert float(taught.detach()) == pytest.approx(0, abs=1e-6)


def test_other_outputs_count_alike_whatever_their_size() -> None:
    class Two(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.mean((2, 3)), 1000 * x.mean((2, 3))

    samples = Samples(inputs=stripes().inputs)
    model = loaded(Two())
    inputs = torch.from_numpy(samples.inputs[0])
    objective = Objective(model, samples, "")
    small, large = model.torch(inputs)
    one = objective.loss([small + small.std(0, correction=0), large], (inputs,), None)
    other = objective.loss([small, large + large.std(0, correction=0)], (inputs,), None)
    assert float(one) == pytest.approx(float(other), rel=1e-4)
    assert float(one) == pytest.approx(1, rel=1e-3)


def test_channels_of_an_output_count_alike_whatever_their_size() -> None:
    class Beside(nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.cat([x.mean(3), 5 * x.mean(3)], 1)[:, :, :, None]

    samples = Samples(inputs=stripes().inputs)
    model = loaded(Beside())
    inputs = torch.from_numpy(samples.inputs[0])
    objective = Objective(model, samples, "detection(grid, classes=1)")
    given = model.torch(inputs)
    spread = given.std((0, 2, 3), correction=0, keepdim=True)
    for half in (slice(None, 3), slice(3, None)):
        off = given.clone()
        off[:, half] += spread[:, half]
        assert float(objective.loss([off], (inputs,), None)) == pytest.approx(0.5, rel=1e-3)


def test_the_next_character_is_learned_from_labels() -> None:
    samples = stripes()
    model = made("Residual")
    inputs, labels = torch.from_numpy(samples.inputs[0]), torch.from_numpy(samples.labels)
    scores = model.torch(inputs).detach()
    found = Objective(model, samples, "next-character").loss([scores], (inputs,), labels)
    assert float(found) == pytest.approx(float(functional.cross_entropy(scores, labels)))


def test_statistics_follow_the_weights(tmp_path: Path) -> None:
    """A momentum so low that running averages would not have moved."""
    model = made("Residual")
    for each in model.torch.modules():
        if isinstance(each, nn.BatchNorm2d):
            each.momentum = 1e-6
    samples = stripes()
    done = run("prune", model, tmp_path, samples, sparsity=0.5, batch=96)
    seen: list[Any] = []
    module = done.model.torch
    handle = module.bn0.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        module(torch.from_numpy(samples.inputs[0]))
    handle.remove()
    torch.testing.assert_close(module.bn0.running_mean, seen[0].mean((0, 2, 3)), rtol=1e-3, atol=1e-4)
    assert module.bn0.momentum == 1e-6


def test_progress_tells_epochs_and_losses(tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    model = made("Plain")
    context = context_of(
        "prune", model, tmp_path, stripes(), {}, progress=lambda share, words: told.append((share, words))
    )
    history = fine_tune(NETS["Plain"](), context, TUNING)
    assert history.epochs == 3
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert "epoch 3 of 3, loss " in told[-1][1]
