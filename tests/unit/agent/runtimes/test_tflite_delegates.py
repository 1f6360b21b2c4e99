from __future__ import annotations

import pytest

from edgemeter_agent.runtimes.tflite_delegates import Delegated, Node, delegated, is_delegate


def node(name: str, inputs: list[int], outputs: list[int]) -> Node:
    return Node(name=name, inputs=tuple(inputs), outputs=tuple(outputs))


# 0 -> CONV(w=10) -> 1 -> RELU -> 2 -> CUSTOM -> 3 -> ADD(1) -> 4
CHAIN = [
    node("CONV_2D", [0, 10, -1], [1]),
    node("RELU", [1], [2]),
    node("Resampler", [2], [3]),
    node("ADD", [3, 1], [4]),
]


@pytest.mark.parametrize(
    ("delegates", "taken"),
    [
        ([], 0),
        # everything
        ([node("DELEGATE", [0, 10], [4])], 4),
        ([node("TfLiteXNNPackDelegate", [0, 10], [4])], 4),
        # two parts around an operator that no delegate knows; tensor 1 is handed from the first to the second
        ([node("DELEGATE", [0, 10], [2, 1]), node("DELEGATE", [3, 1], [4])], 3),
        ([node("DELEGATE", [3, 1], [4])], 1),
        # a delegate that gives a tensor which it was given
        ([node("DELEGATE", [1], [1, 2])], 1),
    ],
)
def test_shares(delegates: list[Node], taken: int) -> None:
    assert delegated([*CHAIN, *delegates]) == Delegated(taken=taken, total=4)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("DELEGATE", True),
        ("TfLiteXNNPackDelegate", True),
        ("CONV_2D", False),
        ("TFLite_Detection_PostProcess", False),
    ],
)
def test_names(name: str, is_one: bool) -> None:
    assert is_delegate(name) is is_one
