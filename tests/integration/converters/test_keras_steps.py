"""Each step on Keras networks of many shapes, without training: what it makes computes what it should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from numpy.typing import NDArray

from edgemeter_converters.compress.keras import channel_graph
from edgemeter_converters.compress.keras.kernels import kernels
from edgemeter_converters.compress.keras.network import Replacement, call_graph, clone, copy, rebuild
from edgemeter_converters.compress.keras.slicing import Thinner
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models.keras import predict
from edgemeter_converters.steps.call import Ratio, Value
from tests.integration.converters import keras_steps_nets as nets

pytestmark = [pytest.mark.needs_tensorflow, nets.KERAS_SAVING]

NAMES = sorted(nets.NETS)


@pytest.fixture(scope="module")
def networks() -> dict[str, Any]:
    return {name: nets.made(name) for name in NAMES}


def difference(one: Any, other: Any, inputs: list[NDArray[Any]]) -> float:
    pairs = zip(predict(one, inputs), predict(other, inputs), strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)


def masked(network: Any, thinner: Thinner, gone: frozenset[int]) -> Any:
    """The network, each layer's results multiplied by zero where their channels are to go."""
    graph = call_graph(network)
    widths = {id(call.operation): call.shapes[0][-1] or 0 for call in graph.calls}

    def with_mask(layer: Any) -> Replacement | None:
        positions = thinner.kept(layer, gone) if isinstance(layer, keras.Layer) and layer.weights else None
        if positions is None:
            return None
        mask = np.zeros(widths[id(layer)], dtype=np.float32)
        mask[positions[1]] = 1
        return Replacement(layers=(clone(layer), layers.Rescaling(mask)), weights=(layer.get_weights(), None))

    return rebuild(network, with_mask)


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_computes_the_same_and_shares_nothing(networks: dict[str, Any], name: str) -> None:
    network = networks[name]
    copied = copy(network)
    assert difference(network, copied, nets.inputs_of(network)) == 0
    assert not {id(each) for each in copied.variables} & {id(each) for each in network.variables}
    assert [each.name for each in copied.inputs] == [each.name for each in network.inputs]


@pytest.mark.parametrize("name", NAMES)
def test_without_channels_it_computes_what_it_did_with_them_zero(
    networks: dict[str, Any], name: str, tmp_path: Path
) -> None:
    network = networks[name]
    inputs = nets.inputs_of(network)
    thinner = Thinner(network)
    gone = channel_graph.removed(thinner.channels, thinner.scores(), 0.4)
    assert gone
    thin = thinner.without(gone)
    assert thin.count_params() < network.count_params()
    assert difference(thin, masked(network, thinner, gone), inputs) < 2e-6
    # What was removed mattered: zeroing it is not the identity.
    assert difference(thin, network, inputs) > 1e-3
    thin.save(tmp_path / "thin.keras")
    again = keras.saving.load_model(tmp_path / "thin.keras", compile=False, safe_mode=True)
    assert difference(thin, again, inputs) == 0


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("recurrent", ["bidirectional", "gru"]),
        ("attention", ["multi_head", "layer_norm"]),
        ("grouped", ["groups"]),
    ],
)
def test_layers_whose_channels_are_not_followed_are_named(
    networks: dict[str, Any], name: str, whole: list[str], tmp_path: Path
) -> None:
    notes = nets.run("prune-channels", networks[name], tmp_path, epochs=0).notes
    assert any(word in note for note in notes for word in whole), notes


def test_a_net_of_outputs_only_has_nothing_to_remove(tmp_path: Path) -> None:
    network = keras.Sequential([layers.Input((4,)), layers.Dense(3, activation="softmax")])
    with pytest.raises(ConversionError, match="no channels that could be removed: the network's outputs"):
        nets.run("prune-channels", network, tmp_path, epochs=0)


@pytest.mark.parametrize("name", ["residual", "strided", "shared", "text"])
def test_factors_of_kernels_of_low_rank_are_exact(
    networks: dict[str, Any], name: str, tmp_path: Path
) -> None:
    network = copy(networks[name])
    for kernel in kernels(network):
        if not kernel.embedding:
            weights = np.asarray(kernel.variable)
            rows = weights.sum(axis=-1, keepdims=True)
            columns = weights.sum(axis=tuple(range(weights.ndim - 1)))
            # Of rank 1 along inputs as along outputs.
            spatial = weights.sum(axis=(-2, -1), keepdims=True)
            inputs = rows.sum(axis=tuple(range(weights.ndim - 2)), keepdims=True)
            kernel.variable.assign(spatial * inputs * columns / np.abs(weights).sum())
    inputs = nets.inputs_of(network)
    found = nets.run("low-rank", network, tmp_path, budget=0.5, epochs=0).model
    assert found.parameters < network.count_params()
    scale = max(float(np.abs(each).max()) for each in predict(network, inputs))
    assert difference(network, found.network, inputs) < 1e-5 * max(1.0, scale)


def test_energy_decides_on_ranks(networks: dict[str, Any], tmp_path: Path) -> None:
    network = networks["strided"]
    sizes = [
        nets.run("low-rank", network, tmp_path, energy=energy, epochs=0).model.parameters
        for energy in (0.3, 0.6)
    ]
    assert sizes[0] < sizes[1] < network.count_params()


def test_factors_that_would_be_larger_are_refused(tmp_path: Path) -> None:
    network = keras.Sequential([layers.Input((24,)), layers.Dense(30)])
    with pytest.raises(ConversionError, match="no dense layer or convolution can be factorized: factors of"):
        nets.run("low-rank", network, tmp_path, energy=0.999, epochs=0)


@pytest.mark.parametrize("name", ["mobile", "unet", "recurrent", "attention"])
@pytest.mark.parametrize("sparsity", [0.75, Ratio(2, 4)], ids=str)
def test_pruning_makes_as_many_zeros_as_asked(
    networks: dict[str, Any], name: str, sparsity: Value, tmp_path: Path
) -> None:
    found = nets.run("prune", networks[name], tmp_path, sparsity=sparsity, epochs=0)
    for kernel in kernels(found.model.network):
        weights = np.asarray(kernel.variable)
        zeros = np.count_nonzero(weights == 0)
        if kernel.depthwise or kernel.embedding:
            assert zeros == 0
        elif isinstance(sparsity, Ratio):
            size = weights.shape[kernel.input_axis]
            groups = np.moveaxis(weights, kernel.input_axis, -1)[..., : size // 4 * 4].reshape(-1, 4)
            assert ((groups == 0).sum(axis=1) == 2).all(), kernel.layer
        else:
            assert zeros == round(0.75 * weights.size)


def test_sums_run_over_the_axis_that_two_of_four_go_along(networks: dict[str, Any]) -> None:
    axes = {
        kernel.layer: kernel.input_axis
        for name in ("unet", "attention")
        for kernel in kernels(networks[name])
    }
    transposed = next(axis for layer, axis in axes.items() if "transpose" in layer)
    assert transposed == 3
    # (inputs, heads, size) and (heads, size, outputs).
    assert (axes["query"], axes["attention_output"]) == (0, 1)


@pytest.mark.parametrize("name", ["residual", "mobile", "text", "recurrent"])
def test_clusters_are_as_few_as_asked(networks: dict[str, Any], name: str, tmp_path: Path) -> None:
    found = nets.run("cluster", networks[name], tmp_path, clusters=5, epochs=0)
    counts = {k.layer: len(np.unique(np.asarray(k.variable))) for k in kernels(found.model.network)}
    assert max(counts.values()) <= 5
    assert difference(found.model.network, networks[name], nets.inputs_of(networks[name])) > 0


def test_nothing_above_changed_a_network_that_was_given(networks: dict[str, Any]) -> None:
    for name, network in networks.items():
        same = nets.made(name)
        for one, other in zip(network.get_weights(), same.get_weights(), strict=True):
            assert np.array_equal(one, other), name
