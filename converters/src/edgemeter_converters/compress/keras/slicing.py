"""Networks with fewer channels: layers made anew, weights cut along the axes that lost some."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.compress.keras import channel_graph, channel_roles
from edgemeter_converters.compress.keras.channel_graph import Channels, kept_positions
from edgemeter_converters.compress.keras.channel_roles import CONVOLUTIONS, DEPTHWISE, TRANSPOSED
from edgemeter_converters.compress.keras.network import Replacement, Weights, call_graph, rebuild
from edgemeter_converters.exceptions import ConversionError

Positions = NDArray[np.int64]

NAMED = 3
"""Of the reasons why channels stay, those that are told."""

_WIDTH_OPTIONS = {
    "Dense": "units",
    "Embedding": "output_dim",
    **dict.fromkeys((*CONVOLUTIONS, *TRANSPOSED), "filters"),
}
"""The option that tells how many channels a layer makes."""


class Thinner:
    """Makes a network without some of its channels.

    Attributes:
        channels: those of the network: which are tied, which may go.
    """

    def __init__(self, network: Any) -> None:
        graph = call_graph(network)
        described = channel_roles.describe(graph)
        self.channels: Channels = channel_graph.analyse(described.graph)
        self._network = network
        self._keys = described.keys
        self._layers = {described.keys[id(each)]: each for each in graph.operations()}

    def without_share(self, share: float) -> Any:
        """The network without that share of each layer's channels, those of the smallest weights.

        Raises:
            ConversionError: no channel may go, and why.
        """
        gone = channel_graph.removed(self.channels, self.scores(), share)
        if not gone:
            reasons = "; ".join(self.channels.reasons[:NAMED]) or "no layer makes channels"
            raise ConversionError(f"there are no channels that could be removed: {reasons}")
        return self.without(gone)

    def scores(self) -> dict[str, NDArray[np.floating[Any]]]:
        """By layer that makes channels: the L2 norm of the weights that make each of them."""
        makers = {maker for group in self.channels.groups for maker in group.makers}
        return {maker: _norms(self._layers[maker]) for maker in makers}

    def without(self, gone: frozenset[int]) -> Any:
        """The network without those channels: a new one."""
        return rebuild(self._network, lambda layer: self._replacement(layer, gone))

    def notes(self) -> tuple[str, ...]:
        """Which channels stay whole beside the network's inputs and outputs."""
        layers = [each for each in self.channels.reasons if each.startswith("layer ")]
        if not layers:
            return ()
        more = f"; and {len(layers) - NAMED} more" if len(layers) > NAMED else ""
        return (f"Some channels stay whole: {'; '.join(layers[:NAMED])}{more}.",)

    def kept(self, layer: Any, gone: frozenset[int]) -> tuple[Positions, Positions] | None:
        """Where on a layer's input and output the channels that stay are; None where they are not known."""
        key = self._keys[id(layer)]
        if key not in self.channels.given:
            return None
        taken = self.channels.taken.get(key, np.arange(0))
        return kept_positions(taken, gone), kept_positions(self.channels.given[key], gone)

    def _replacement(self, layer: Any, gone: frozenset[int]) -> Replacement | None:
        if not hasattr(layer, "get_weights"):
            return None
        positions, kind = self.kept(layer, gone), type(layer).__name__
        if positions is None:
            return None
        into, out = positions
        config = layer.get_config()
        if kind == "Reshape":
            # -1 stays: it is what is left over.
            last = layer.target_shape[-1]
            config["target_shape"] = (*layer.target_shape[:-1], last if last == -1 else len(out))
        elif kind in _WIDTH_OPTIONS:
            config[_WIDTH_OPTIONS[kind]] = len(out)
        return Replacement(layers=(type(layer).from_config(config),), weights=(_cut(layer, into, out),))


def _cut(layer: Any, into: Positions, out: Positions) -> Weights:
    """A layer's weights at those positions of its input's and its output's last axis."""
    kind, weights = type(layer).__name__, layer.get_weights()
    if not weights:
        return []
    kernel, *others = weights
    per_channel = [each[..., out] for each in others]
    if kind.startswith("Separable"):
        multiplier = kernel.shape[-1]
        between = (into[:, None] * multiplier + np.arange(multiplier)).reshape(-1)
        pointwise, *bias = others
        return [kernel[..., into, :], pointwise[..., between, :][..., out], *(each[out] for each in bias)]
    if kind in DEPTHWISE:
        return [kernel[..., into, :], *per_channel]
    if kind in TRANSPOSED:
        return [kernel[..., out, :][..., into], *per_channel]
    if kind in CONVOLUTIONS or kind == "Dense":
        return [kernel[..., into, :][..., out], *per_channel]
    return [kernel[..., out], *per_channel]


def _norms(layer: Any) -> NDArray[np.floating[Any]]:
    kind, weights = type(layer).__name__, layer.get_weights()
    kernel = weights[1] if kind.startswith("Separable") else weights[0]
    axis = kernel.ndim - 2 if kind in TRANSPOSED else kernel.ndim - 1
    others = tuple(each for each in range(kernel.ndim) if each != axis)
    return np.asarray(np.sqrt(np.square(kernel, dtype=np.float64).sum(axis=others)))
