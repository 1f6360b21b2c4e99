"""Which channels of a network's tensors belong together, and which may go. Pure.

A channel is a position on a tensor's last axis. Each layer that mixes channels makes new ones; everything
else passes them on, repeats them or ties them to others. Channels that are tied are one: they stay or go
together, in every weight along whose axes they stand (the dependency graph of Fang et al., DepGraph,
arXiv:2301.12900, kept per channel rather than per layer, so that concatenations and flattening need no rules
of their own).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]

OUTPUTS_STAY = "the network's outputs stay as they are"

_TINY = 1e-30
"""What the mean of weights that are all zero is taken for."""


class Role(enum.Enum):
    """What a call does to channels."""

    MIX = "mix"
    """Every output channel is made of all input channels: dense layers, convolutions, embeddings."""
    PASS = "passes on"  # noqa: S105
    """Output channel i is input channel i: activations, pooling, batch normalization."""
    REPEAT = "repeat"
    """Each input channel gives so many neighbours: depthwise convolutions."""
    TILE = "tile"
    """All input channels, so many times over: flattening, channels last."""
    TIE = "tie"
    """Output channel i is made of channel i of every input: addition, multiplication."""
    CONCATENATE = "concatenate"
    """The inputs' channels one after the other."""
    OPAQUE = "opaque"
    """Unknown, or such that no channel may go: its inputs and outputs stay whole."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of one layer.

    Attributes:
        layer: its name; calls of one layer share its weights, and so its channels.
        inputs, outputs: numbers of tensors.
        widths: channels of each output; None where that is not known.
        times: of REPEAT and TILE.
        reason: why it is OPAQUE, as in "layer 'lstm' (LSTM) has gates".
    """

    layer: str
    role: Role
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    widths: tuple[int | None, ...]
    times: int = 1
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class ChannelGraph:
    """A network.

    Attributes:
        inputs: channels of each of its tensors that no call gives, by number; None where not known.
        calls: each after those whose outputs it takes.
        outputs: tensors of which no channel may go.
    """

    inputs: Mapping[int, int | None]
    calls: tuple[Call, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Channels among which some are chosen to go.

    Attributes:
        makers: layers (MIX) that make them, each of which makes a part of every channel.
        channels: the representatives of the tied ones.
    """

    makers: tuple[str, ...]
    channels: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Channels:
    """What `analyse` finds.

    Attributes:
        taken, given: by layer, the channel at each position of its (first) input's and output's last axis, as
            representatives: equal numbers are tied. Layers whose channels are not known are missing.
        groups: those that may go.
        reasons: why others may not, each once.
    """

    taken: Mapping[str, Ids]
    given: Mapping[str, Ids]
    groups: tuple[Group, ...]
    reasons: tuple[str, ...]


def analyse(graph: ChannelGraph) -> Channels:
    """Ties channels all through a network."""
    state = _State()
    for tensor, width in graph.inputs.items():
        state.tensors[tensor] = state.new(width)
        state.fix(tensor, "the network's inputs stay as they are")
    for call in graph.calls:
        _RULES[call.role](state, call)
    for tensor in graph.outputs:
        state.fix(tensor, OUTPUTS_STAY)
    return state.result()


def removed(
    channels: Channels, scores: Mapping[str, NDArray[np.floating[Any]]], share: float
) -> frozenset[int]:
    """The representatives of the channels that go: in each group the share with the lowest scores.

    Args:
        scores: by maker, how much each of its output channels matters. Each is divided by its layer's mean,
            so that layers of large weights do not outvote the others, and a channel has its makers' sum.
        share: to remove. At least one of a group stays.
    """
    gone: set[int] = set()
    for group in channels.groups:
        totals = dict.fromkeys(group.channels, 0.0)
        for maker in group.makers:
            score = scores[maker] / max(float(scores[maker].mean()), _TINY)
            for channel, value in zip(channels.given[maker].tolist(), score.tolist(), strict=True):
                if channel in totals:
                    totals[channel] += value
        ranked = sorted(group.channels, key=lambda channel: (totals[channel], channel))
        gone.update(ranked[: len(ranked) - kept_count(len(ranked), share)])
    return frozenset(gone)


def kept_count(width: int, share: float) -> int:
    """Channels that stay of so many when a share of them goes.

    They are not rounded to a multiple of what kernels compute at once: on a ResNet of 16, 32 and 64 channels
    XNNPACK took no less time for 12, 22 and 44 or 8, 24 and 48 of them than for 11, 22 and 45.
    """
    return max(1, round(width * (1 - share)))


def kept_positions(ids: Ids, gone: frozenset[int]) -> NDArray[np.int64]:
    """Where on an axis the channels that stay are."""
    return np.flatnonzero(~np.isin(ids, list(gone)))


class _State:
    """Tensors' channels, tied by union-find."""

    def __init__(self) -> None:
        self.tensors: dict[int, Ids | None] = {}
        self.taken: dict[str, Ids] = {}
        self.given: dict[str, Ids] = {}
        self.makers: list[str] = []
        self._parents: list[int] = []
        self._fixed: dict[int, str] = {}

    def new(self, width: int | None) -> Ids | None:
        if width is None:
            return None
        start = len(self._parents)
        self._parents.extend(range(start, start + width))
        return np.arange(start, start + width)

    def root(self, channel: int) -> int:
        while self._parents[channel] != channel:
            self._parents[channel] = self._parents[self._parents[channel]]
            channel = self._parents[channel]
        return channel

    def tie(self, one: Ids, other: Ids) -> None:
        for first, second in zip(one.tolist(), other.tolist(), strict=True):
            low, high = sorted((self.root(first), self.root(second)))
            self._parents[high] = low

    def fix(self, tensor: int, reason: str) -> None:
        ids = self.tensors[tensor]
        for channel in () if ids is None else ids.tolist():
            self._fixed.setdefault(channel, reason)

    def take(self, call: Call) -> Ids | None:
        """The call's first input; that of a layer called before is tied to it."""
        ids = self.tensors[call.inputs[0]] if call.inputs else None
        if ids is None:
            return None
        before = self.taken.setdefault(call.layer, ids)
        if len(before) == len(ids):
            self.tie(before, ids)
        else:
            # One layer on tensors of two widths: none that has weights along them.
            self.fix(call.inputs[0], f"layer {call.layer!r} is called with tensors of several widths")
        return ids

    def give(self, call: Call, ids: Ids | None) -> None:
        self.tensors[call.outputs[0]] = ids
        if ids is not None:
            self.given.setdefault(call.layer, ids)

    def opaque(self, call: Call, reason: str) -> None:
        for tensor in call.inputs:
            self.fix(tensor, reason)
        for tensor, width in zip(call.outputs, call.widths, strict=True):
            self.tensors[tensor] = self.new(width)
            self.fix(tensor, reason)

    def result(self) -> Channels:
        fixed: dict[int, str] = {}
        for channel, reason in self._fixed.items():
            fixed.setdefault(self.root(channel), reason)
        makers: dict[int, set[str]] = {}
        for maker in self.makers:
            for channel in self.given[maker].tolist():
                makers.setdefault(self.root(channel), set()).add(maker)
        groups: dict[tuple[str, ...], list[int]] = {}
        for channel in sorted(makers):
            if channel not in fixed:
                groups.setdefault(tuple(sorted(makers[channel])), []).append(channel)
        blamed = {fixed[channel]: None for channel in makers if channel in fixed}
        return Channels(
            taken=MappingProxyType({layer: self._roots(ids) for layer, ids in self.taken.items()}),
            given=MappingProxyType({layer: self._roots(ids) for layer, ids in self.given.items()}),
            groups=tuple(Group(makers=names, channels=tuple(ids)) for names, ids in groups.items()),
            reasons=tuple(blamed),
        )

    def _roots(self, ids: Ids) -> Ids:
        return np.array([self.root(channel) for channel in ids.tolist()], dtype=np.int64)


def _mix(state: _State, call: Call) -> None:
    state.take(call)
    if call.layer not in state.given:
        ids = state.new(call.widths[0])
        if ids is not None:
            state.makers.append(call.layer)
        state.give(call, ids)
    else:
        state.give(call, state.given[call.layer])


def _pass(state: _State, call: Call) -> None:
    state.give(call, state.take(call))


def _repeat(state: _State, call: Call) -> None:
    ids = state.take(call)
    state.give(call, None if ids is None else np.repeat(ids, call.times))


def _tile(state: _State, call: Call) -> None:
    ids = state.take(call)
    state.give(call, None if ids is None else np.tile(ids, call.times))


def _tie(state: _State, call: Call) -> None:
    known = [ids for ids in (state.tensors[tensor] for tensor in call.inputs) if ids is not None]
    width = call.widths[0]
    # A tensor of one channel is broadcast over the others' channels.
    wide = [ids for ids in known if len(ids) == width]
    if width is None or not wide or len(known) < len(call.inputs):
        state.opaque(call, f"layer {call.layer!r} takes a tensor of unknown width")
        return
    for tensor in call.inputs:
        ids = state.tensors[tensor]
        if ids is not None and len(ids) != width:
            state.fix(tensor, f"layer {call.layer!r} broadcasts it")
    for other in wide[1:]:
        state.tie(wide[0], other)
    state.give(call, wide[0])


def _concatenate(state: _State, call: Call) -> None:
    parts = [state.tensors[tensor] for tensor in call.inputs]
    known = [ids for ids in parts if ids is not None]
    if len(known) < len(parts):
        state.opaque(call, f"layer {call.layer!r} takes a tensor of unknown width")
        return
    state.give(call, np.concatenate(known))


def _opaque(state: _State, call: Call) -> None:
    state.opaque(call, call.reason)


_RULES = {
    Role.MIX: _mix,
    Role.PASS: _pass,
    Role.REPEAT: _repeat,
    Role.TILE: _tile,
    Role.TIE: _tie,
    Role.CONCATENATE: _concatenate,
    Role.OPAQUE: _opaque,
}
