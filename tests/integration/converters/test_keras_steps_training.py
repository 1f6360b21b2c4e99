"""Steps on a Keras network with training: what it learns, holds, tells, and how it goes on after a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from edgemeter_converters.compress.keras.kernels import kernels
from edgemeter_converters.datasets.dataset import Samples
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models.keras import predict
from edgemeter_converters.training import checkpoint
from tests.integration.converters import keras_steps_nets as nets
from tests.train_stripes import stripes

pytestmark = [pytest.mark.slow, pytest.mark.needs_tensorflow, nets.KERAS_SAVING]

STEPS: dict[str, dict[str, Any]] = {
    "prune": {"sparsity": 0.6},
    "prune-channels": {"ratio": 0.3},
    "low-rank": {"budget": 0.5},
    "cluster": {"clusters": 6},
    "distill": {"width": 0.6},
    "qat": {},
}


class Killed(Exception):
    """Stands for the end of a worker."""


def samples(count: int, seed: int, *, labelled: bool = True) -> Samples:
    pictures, labels = stripes(count, nets.SIDE, seed)
    return Samples(inputs=(pictures.astype(np.float32),), labels=labels if labelled else None)


TRAINING, EVALUATION = samples(480, 1), samples(300, 2)


@pytest.fixture(scope="module")
def network() -> Any:
    """Knows the stripes."""
    keras.utils.set_random_seed(7)
    image = layers.Input((nets.SIDE, nets.SIDE, 1))
    x = layers.Conv2D(16, 3, use_bias=False)(layers.Rescaling(1 / 255)(image))
    x = shortcut = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.Conv2D(16, 3, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.Add()([layers.BatchNormalization(momentum=0.9)(x), shortcut]))
    x = layers.DepthwiseConv2D(3, activation="relu")(layers.MaxPooling2D()(x))
    x = layers.Dropout(0.1)(layers.Conv2D(24, 1, activation="relu")(x))
    x = layers.Dense(nets.CLASSES, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    net = keras.Model(image, x)
    net.compile(optimizer=keras.optimizers.Adam(5e-3), loss="sparse_categorical_crossentropy")
    net.fit(TRAINING.inputs[0], TRAINING.labels, epochs=6, batch_size=32, verbose=0)
    assert accuracy(net) > 0.9
    return net


@pytest.fixture(scope="module")
def small() -> Any:
    """Knows them too."""
    keras.utils.set_random_seed(3)
    net = keras.Sequential(
        [
            layers.Input((nets.SIDE, nets.SIDE, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Conv2D(16, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(nets.CLASSES, activation="softmax"),
        ]
    )
    net.compile(optimizer=keras.optimizers.Adam(1e-2), loss="sparse_categorical_crossentropy")
    net.fit(TRAINING.inputs[0], TRAINING.labels, epochs=8, batch_size=32, verbose=0)
    return net


def accuracy(net: Any) -> float:
    return float((predict(net, EVALUATION.inputs)[0].argmax(axis=1) == EVALUATION.labels).mean())


def epoch_ends(told: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Of three epochs; a slow machine tells something in between."""
    return [said for said in told if abs(3 * said[0] - round(3 * said[0])) < 1e-9]


def kill(_done: float, _words: str) -> None:
    raise Killed


@pytest.mark.parametrize("step", STEPS)
def test_a_step_learns_and_a_killed_one_goes_on_to_the_same_weights(
    network: Any, step: str, tmp_path: Path
) -> None:
    before = network.get_weights()
    told: list[tuple[float, str]] = []
    arguments: dict[str, Any] = STEPS[step] | {"epochs": 3, "lr": 2e-3}
    whole = nets.run(
        step, network, tmp_path / "whole", TRAINING, progress=lambda *said: told.append(said), **arguments
    )
    assert [round(3 * done) for done, _ in epoch_ends(told)] == [1, 2, 3]
    assert epoch_ends(told)[1][1].startswith("fine-tuning, epoch 2 of 3, loss ")
    assert whole.epochs == 3
    assert whole.first_loss is not None
    assert whole.last_loss is not None
    assert accuracy(whole.model.network) >= accuracy(network) - 0.1
    assert whole.model.parameters == whole.model.keras.count_params()

    with pytest.raises(Killed):
        nets.run(step, network, tmp_path / "killed", TRAINING, progress=kill, **arguments)
    told.clear()
    resumed = nets.run(
        step, network, tmp_path / "killed", TRAINING, progress=lambda *said: told.append(said), **arguments
    )
    assert [words.split(",")[1] for _, words in epoch_ends(told)] == [" epoch 2 of 3", " epoch 3 of 3"]
    assert (resumed.first_loss, resumed.last_loss) == (whole.first_loss, whole.last_loss)
    assert any("went on after epoch 1" in note for note in resumed.notes)
    for one, other in zip(whole.model.keras.get_weights(), resumed.model.keras.get_weights(), strict=True):
        assert np.array_equal(one, other)

    # Its form held to the end.
    for kernel in kernels(whole.model.keras):
        weights = np.asarray(kernel.variable)
        if step == "prune" and not kernel.depthwise:
            assert np.count_nonzero(weights == 0) == round(0.6 * weights.size)
        if step == "cluster":
            assert len(np.unique(weights)) <= 6
    # Standard layers only, and the network that was given is as it was.
    whole.model.keras.save(tmp_path / "x.keras")
    keras.saving.load_model(tmp_path / "x.keras", compile=False, safe_mode=True)
    for one, other in zip(before, network.get_weights(), strict=True):
        assert np.array_equal(one, other)


def test_zeros_and_shared_values_outlive_further_training(small: Any, tmp_path: Path) -> None:
    pruned = nets.run("prune", small, tmp_path, sparsity=0.5, epochs=0).model.network
    clustered = nets.run("cluster", pruned, tmp_path, clusters=8, epochs=0).model.network
    trained = nets.run("qat", clustered, tmp_path, TRAINING, epochs=1, lr=1e-3).model.network
    for first, last in zip(kernels(clustered), kernels(trained), strict=True):
        before, after = np.asarray(first.variable), np.asarray(last.variable)
        assert not np.array_equal(before, after)
        assert len(np.unique(after)) <= 8
        if not first.depthwise:
            assert np.count_nonzero(after == 0) == round(0.5 * after.size)
            assert np.array_equal(before == 0, after == 0)


def test_without_labels_it_learns_what_the_original_answers(network: Any, tmp_path: Path) -> None:
    unlabelled = samples(480, 1, labelled=False)
    cut = nets.run("prune-channels", network, tmp_path, ratio=0.4, epochs=0).model.network
    tuned = nets.run("prune-channels", network, tmp_path, unlabelled, ratio=0.4, epochs=3, lr=3e-3)
    assert tuned.last_loss is not None
    assert tuned.first_loss is not None
    assert tuned.last_loss < tuned.first_loss
    assert disagreement(tuned.model.network, network) < disagreement(cut, network)


def test_what_is_no_classifier_learns_the_originals_outputs(tmp_path: Path) -> None:
    teacher = nets.made("concatenated")
    pictures = np.random.default_rng(1).normal(size=(128, nets.SIDE, nets.SIDE, 3)).astype(np.float32)
    tuned = nets.run(
        "distill", teacher, tmp_path, Samples(inputs=(pictures,)), task="", width=0.7, epochs=4, lr=3e-3
    )
    assert tuned.last_loss is not None
    assert tuned.first_loss is not None
    assert tuned.last_loss < 0.8 * tuned.first_loss


def disagreement(one: Any, other: Any) -> float:
    outputs = [predict(net, EVALUATION.inputs)[0] for net in (one, other)]
    return float(np.abs(outputs[0] - outputs[1]).mean())


def test_a_damaged_checkpoint_is_told_of_and_not_used(small: Any, tmp_path: Path) -> None:
    first = nets.run("prune", small, tmp_path, TRAINING, epochs=1)
    file = tmp_path / checkpoint.FILE_NAME
    content = bytearray(file.read_bytes())
    content[-200] ^= 1
    file.write_bytes(content)
    again = nets.run("prune", small, tmp_path, TRAINING, epochs=1)
    assert any("damaged checkpoint" in note for note in again.notes)
    assert again.last_loss == first.last_loss


def test_another_seed_is_another_run(small: Any, tmp_path: Path) -> None:
    one = nets.run("prune", small, tmp_path, TRAINING, epochs=1, seed=1)
    two = nets.run("prune", small, tmp_path, TRAINING, epochs=1, seed=2)
    assert one.last_loss != two.last_loss
    assert any("other settings" in note for note in two.notes)


@pytest.mark.parametrize("seen_in", ["loss NaN in epoch 1", "a weight is no number after epoch 1"])
def test_divergence_is_an_error_that_names_the_rate(small: Any, seen_in: str, tmp_path: Path) -> None:
    flat = [layers.Input((nets.SIDE, nets.SIDE, 1)), layers.Flatten(), layers.Dense(nets.CLASSES)]
    # Rectifiers make zeros of NaN, and the loss a number.
    net = keras.Sequential(flat) if "loss" in seen_in else small
    overflowing = Samples(inputs=(np.full_like(TRAINING.inputs[0], np.inf),), labels=TRAINING.labels)
    with pytest.raises(ConversionError) as caught:
        nets.run("prune", net, tmp_path, overflowing, epochs=2, lr=10)
    assert caught.value.message == f"fine-tuning diverged ({seen_in}): lower lr=10, nothing is kept"
    assert not list(tmp_path.iterdir())


def test_qat_recovers_what_rounding_loses(small: Any, tmp_path: Path) -> None:
    """Channels that differ in scale: one scale for a whole kernel rounds most of them away."""
    net = keras.models.clone_model(small)
    first, bias, second, *others = small.get_weights()
    scales = np.geomspace(300, 1, 8).astype(np.float32)
    net.set_weights([first * scales, bias * scales, second / scales[:, None], *others])
    assert accuracy(net) > 0.9

    tuned = nets.run("qat", net, tmp_path, TRAINING, flags=("per_tensor",), epochs=4, lr=3e-4).model.network
    assert accuracy(rounded(net)) < 0.93
    assert accuracy(rounded(tuned)) > accuracy(rounded(net)) + 0.05


def rounded(net: Any) -> Any:
    """A copy whose kernels are 8-bit integers times one scale each."""
    copied = keras.models.clone_model(net)
    copied.set_weights(net.get_weights())
    for kernel in kernels(copied):
        weights = np.asarray(kernel.variable)
        step = np.abs(weights).max() / 127
        kernel.variable.assign(np.round(weights / step) * step)
    return copied
