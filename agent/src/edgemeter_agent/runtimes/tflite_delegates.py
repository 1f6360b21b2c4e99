"""How much of a TFLite graph a delegate took, told by the interpreter's nodes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Node:
    """An operator of the primary subgraph: tensors by number, -1 for an optional one that is absent."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Delegated:
    """Of a graph's own operators, how many a delegate computes."""

    taken: int
    total: int


def is_delegate(name: str) -> bool:
    """A delegate's kernel is a node too: "DELEGATE", or by its own name ("TfLiteXNNPackDelegate")."""
    return name == "DELEGATE" or (name.startswith("TfLite") and name.endswith("Delegate"))


def delegated(nodes: Sequence[Node]) -> Delegated:
    """What the delegates' nodes stand for.

    The interpreter keeps the nodes that a delegate replaced and appends the delegate's (Subgraph::
    ReplaceNodeSubsetsWithDelegateKernels). Replaced are those on the ways back from the delegate's outputs to
    its inputs.
    """
    own = [node for node in nodes if not is_delegate(node.name)]
    maker = {tensor: number for number, node in enumerate(own) for tensor in node.outputs}
    taken: set[int] = set()
    for delegate in nodes:
        if not is_delegate(delegate.name):
            continue
        given = set(delegate.inputs)
        ahead = [tensor for tensor in delegate.outputs if tensor not in given]
        while ahead:
            number = maker.get(ahead.pop())
            if number is None or number in taken:
                continue
            taken.add(number)
            ahead += [tensor for tensor in own[number].inputs if tensor not in given]
    return Delegated(taken=len(taken), total=len(own))
