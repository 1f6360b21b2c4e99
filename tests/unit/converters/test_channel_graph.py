"""Channels through small networks that are told, not built: no Keras here."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_converters.compress.keras.channel_graph import (
    Call,
    ChannelGraph,
    Channels,
    Role,
    analyse,
    kept_count,
    kept_positions,
    removed,
)


class Net:
    """A network as it is written down: each method is a call and gives its tensor's number."""

    def __init__(self, *inputs: int | None) -> None:
        self._widths: dict[int, int | None] = dict(enumerate(inputs))
        self._inputs = dict(self._widths)
        self._calls: list[Call] = []

    def __call__(
        self, layer: str, role: Role, *inputs: int, width: int | None = None, times: int = 1, reason: str = ""
    ) -> int:
        tensor = len(self._widths)
        given = width if width is not None else self._widths[inputs[0]]
        if role is Role.CONCATENATE:
            given = sum(self._widths[each] or 0 for each in inputs)
        elif role in (Role.REPEAT, Role.TILE) and given is not None:
            given *= times
        self._widths[tensor] = given
        self._calls.append(
            Call(
                layer=layer,
                role=role,
                inputs=inputs,
                outputs=(tensor,),
                widths=(given,),
                times=times,
                reason=reason,
            )
        )
        return tensor

    def analyse(self, *outputs: int) -> Channels:
        return analyse(ChannelGraph(inputs=self._inputs, calls=tuple(self._calls), outputs=outputs))


def groups(channels: Channels) -> dict[tuple[str, ...], int]:
    return {group.makers: len(group.channels) for group in channels.groups}


def test_a_chain_loses_hidden_channels_only() -> None:
    net = Net(3)
    x = net("conv1", Role.MIX, 0, width=8)
    x = net("relu", Role.PASS, x)
    x = net("conv2", Role.MIX, x, width=4)
    channels = net.analyse(net("head", Role.MIX, x, width=10))
    assert groups(channels) == {("conv1",): 8, ("conv2",): 4}
    assert channels.taken["conv2"].tolist() == channels.given["conv1"].tolist()
    assert channels.reasons == ("the network's outputs stay as they are",)


def test_a_sum_ties_its_branches() -> None:
    net = Net(3)
    stem = net("stem", Role.MIX, 0, width=8)
    branch = net("inner", Role.MIX, stem, width=6)
    branch = net("outer", Role.MIX, branch, width=8)
    x = net("add", Role.TIE, stem, branch)
    channels = net.analyse(net("head", Role.MIX, x, width=2))
    assert groups(channels) == {("outer", "stem"): 8, ("inner",): 6}
    assert channels.given["stem"].tolist() == channels.given["outer"].tolist()


def test_a_concatenation_keeps_its_parts_apart() -> None:
    net = Net(3)
    a, b = net("a", Role.MIX, 0, width=4), net("b", Role.MIX, 0, width=6)
    x = net("norm", Role.PASS, net("concat", Role.CONCATENATE, a, b))
    channels = net.analyse(net("head", Role.MIX, x, width=2))
    assert groups(channels) == {("a",): 4, ("b",): 6}
    both = [*channels.given["a"].tolist(), *channels.given["b"].tolist()]
    assert channels.given["norm"].tolist() == channels.taken["head"].tolist() == both


def test_a_sum_with_a_concatenation_splits_the_other_side() -> None:
    net = Net(3)
    a, b = net("a", Role.MIX, 0, width=4), net("b", Role.MIX, 0, width=6)
    wide = net("wide", Role.MIX, 0, width=10)
    x = net("add", Role.TIE, wide, net("concat", Role.CONCATENATE, a, b))
    channels = net.analyse(net("head", Role.MIX, x, width=2))
    assert groups(channels) == {("a", "wide"): 4, ("b", "wide"): 6}


def test_depthwise_channels_go_with_their_input() -> None:
    net = Net(3)
    x = net("conv", Role.MIX, 0, width=3)
    x = net("depthwise", Role.REPEAT, x, times=2)
    channels = net.analyse(net("head", Role.MIX, x, width=2))
    a, b, c = channels.given["conv"].tolist()
    assert channels.given["depthwise"].tolist() == [a, a, b, b, c, c]
    assert groups(channels) == {("conv",): 3}


def test_flattening_repeats_channels_last() -> None:
    net = Net(3)
    x = net("conv", Role.MIX, 0, width=2)
    x = net("flatten", Role.TILE, x, times=3)
    channels = net.analyse(net("head", Role.MIX, x, width=2))
    a, b = channels.given["conv"].tolist()
    assert channels.taken["head"].tolist() == [a, b, a, b, a, b]


def test_a_layer_called_twice_ties_what_it_is_given() -> None:
    net = Net(3)
    a, b = net("a", Role.MIX, 0, width=4), net("b", Role.MIX, 0, width=4)
    x, y = net("shared", Role.MIX, a, width=5), net("shared", Role.MIX, b, width=5)
    channels = net.analyse(net("head", Role.MIX, net("concat", Role.CONCATENATE, x, y), width=2))
    assert groups(channels) == {("a", "b"): 4, ("shared",): 5}
    shared = channels.given["shared"].tolist()
    assert channels.taken["head"].tolist() == [*shared, *shared]


def test_what_is_not_known_keeps_all_that_it_touches() -> None:
    net = Net(3)
    a, free = net("a", Role.MIX, 0, width=4), net("free", Role.MIX, 0, width=5)
    x = net("lstm", Role.OPAQUE, a, width=6, reason="layer 'lstm' (LSTM) has gates")
    tied = net("tied", Role.MIX, free, width=6)
    x = net("add", Role.TIE, x, tied)
    channels = net.analyse(net("head", Role.MIX, x, width=2))
    assert groups(channels) == {("free",): 5}
    assert "layer 'lstm' (LSTM) has gates" in channels.reasons


def test_a_single_channel_is_broadcast_and_stays() -> None:
    net = Net(3)
    x, gate = net("conv", Role.MIX, 0, width=8), net("gate", Role.MIX, 0, width=1)
    x = net("multiply", Role.TIE, x, gate, width=8)
    channels = net.analyse(net("head", Role.MIX, x, width=2))
    assert groups(channels) == {("conv",): 8}


def test_inputs_stay_through_a_skip() -> None:
    net = Net(8)
    x = net("conv", Role.MIX, 0, width=8)
    x = net("add", Role.TIE, 0, x)
    channels = net.analyse(net("head", Role.MIX, x, width=2))
    assert channels.groups == ()
    assert channels.reasons[0] == "the network's inputs stay as they are"


def test_unknown_widths_are_left_alone() -> None:
    net = Net(None)
    a = net("a", Role.MIX, 0, width=4)
    x = net("add", Role.TIE, a, 0, width=4)
    channels = net.analyse(net("head", Role.MIX, x, width=2))
    assert channels.groups == ()
    assert channels.reasons == (
        "layer 'add' takes a tensor of unknown width",
        "the network's outputs stay as they are",
    )


def test_the_weakest_go_by_all_their_makers() -> None:
    net = Net(3)
    a, b = net("a", Role.MIX, 0, width=4), net("b", Role.MIX, 0, width=4)
    channels = net.analyse(net("head", Role.MIX, net("add", Role.TIE, a, b), width=2))
    # In b alone the last would go; b's weights are a thousand times a's, which must not matter.
    scores = {"a": np.array([1.0, 1.0, 5.0, 9.0]), "b": np.array([4000.0, 1000.0, 3000.0, 900.0])}
    gone = removed(channels, scores, 0.25)
    assert kept_positions(channels.given["a"], gone).tolist() == [0, 2, 3]


def test_weights_that_are_all_zero_are_no_trouble() -> None:
    net = Net(3)
    channels = net.analyse(net("head", Role.MIX, net("a", Role.MIX, 0, width=4), width=2))
    assert len(removed(channels, {"a": np.zeros(4)}, 0.5)) == 2


@given(width=st.integers(1, 512), share=st.floats(0.001, 0.999))
def test_the_share_that_was_asked_for_goes_and_one_channel_stays(width: int, share: float) -> None:
    kept = kept_count(width, share)
    assert 1 <= kept <= width
    assert kept == 1 or abs(kept - width * (1 - share)) <= 0.5


@pytest.mark.parametrize("share", [0.3, 0.9])
@given(data=st.data())
def test_every_layer_keeps_a_channel_and_ties_hold(share: float, data: st.DataObject) -> None:
    """Random networks of convolutions, sums and concatenations."""
    net = Net(3)
    tensors = [net("first", Role.MIX, 0, width=4)]
    for at in range(data.draw(st.integers(1, 8))):
        one, other = data.draw(st.sampled_from(tensors)), data.draw(st.sampled_from(tensors))
        kind = data.draw(st.sampled_from(["mix", "concat", "add"]))
        if kind == "mix":
            tensors.append(net(f"conv{at}", Role.MIX, one, width=data.draw(st.integers(1, 6))))
        elif kind == "concat":
            tensors.append(net(f"concat{at}", Role.CONCATENATE, one, other))
        elif net._widths[one] == net._widths[other]:
            tensors.append(net(f"add{at}", Role.TIE, one, other))
    channels = net.analyse(net("head", Role.MIX, tensors[-1], width=2))
    random = np.random.default_rng(0)
    makers = {maker for group in channels.groups for maker in group.makers}
    gone = removed(
        channels, {maker: random.uniform(size=len(channels.given[maker])) for maker in sorted(makers)}, share
    )
    for layer, ids in channels.given.items():
        assert len(kept_positions(ids, gone)) >= 1, layer
    assert len(kept_positions(channels.given["head"], gone)) == 2
    assert len(kept_positions(channels.taken["first"], gone)) == 3
