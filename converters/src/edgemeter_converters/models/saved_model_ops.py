"""Which of TensorFlow's ops a SavedModel may have. Pure.

A graph is a program: TensorFlow's own advice (SECURITY.md, "TensorFlow models are programs") is to take
whatever runs one for arbitrary code, for its ops read and write files, talk to the network and call Python.
So ops are let in, not kept out: those that TensorFlow declares free of side effects and whose names are not
of a family that touches the machine all the same (`ReadFile` counts as free of them), and a few that hold
state in memory only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

_TOUCHES_THE_MACHINE = re.compile(
    r"File|Path|Reader|Record|Dataset|Iterator|Table|Vocab|Py[A-Z]|Debug|Dump|Print|Summary|Checkpoint|Save|Restore"
    r"|Remote|Rpc|Send|Recv|Host|Collective|Nccl|Stats|Snapshot|BatchFunction|XlaCallModule|Custom|Library"
)

_HOLD_STATE = frozenset(
    {
        "Assert",
        "AssignVariableOp",
        "Case",
        "CheckNumerics",
        "DisableCopyOnRead",
        "Empty",
        "GuaranteeConst",
        "If",
        "Multinomial",
        "ParameterizedTruncatedNormal",
        "RandomGamma",
        "RandomShuffle",
        "RandomStandardNormal",
        "RandomUniform",
        "RandomUniformInt",
        "ReadVariableOp",
        "ResourceGather",
        "ResourceGatherNd",
        "RngReadAndSkip",
        "StatefulPartitionedCall",
        "StatelessRandomGetAlg",
        "TruncatedNormal",
        "VarHandleOp",
        "VarIsInitializedOp",
        "VariableShape",
        "While",
    }
)
"""Declared to have side effects; they are on memory, or on a random generator."""

SAVERS = frozenset({"MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename"})
"""Every SavedModel has them, to be saved again; let in where neither serving nor loading gets there."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """An op in a graph, or in a function of its library.

    Attributes:
        op: its kind, or the name of a function.
        inputs: names of the nodes that it takes from or waits for.
        functions: that its attributes name.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    functions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Offence:
    """An op that is not let in, and the node that has it."""

    op: str
    node: str


def offence(
    main: Iterable[Node],
    library: Mapping[str, Iterable[Node]],
    roots: Iterable[str],
    is_stateful: Callable[[str], bool | None],
) -> Offence | None:
    """The first op that may not be there; None where there is none.

    Args:
        main: the graph's own nodes.
        library: its functions' bodies, by their names.
        roots: nodes of `main` that serving and loading run.
        is_stateful: of a kind of op, as TensorFlow declares it; None for one that it doesn't know.
    """
    graph = {node.name: node for node in main}
    bodies = {name: tuple(body) for name, body in library.items()}
    for node in (*graph.values(), *(node for body in bodies.values() for node in body)):
        if node.op not in SAVERS and node.op not in bodies and not _is_let_in(node.op, is_stateful(node.op)):
            return Offence(op=node.op, node=node.name)
    for node in _reached(graph, bodies, roots):
        if node.op in SAVERS:
            return Offence(op=node.op, node=node.name)
    return None


def _is_let_in(op: str, stateful: bool | None) -> bool:
    if op in _HOLD_STATE:
        return True
    return stateful is False and _TOUCHES_THE_MACHINE.search(op) is None


def _reached(
    graph: Mapping[str, Node], bodies: Mapping[str, tuple[Node, ...]], roots: Iterable[str]
) -> Iterable[Node]:
    """Nodes that the roots take from, and the whole body of every function that one of them names."""
    pending = [graph[name] for name in roots if name in graph]
    seen_nodes = {node.name for node in pending}
    seen_functions: set[str] = set()
    while pending:
        node = pending.pop()
        yield node
        for name in node.inputs:
            if name in graph and name not in seen_nodes:
                seen_nodes.add(name)
                pending.append(graph[name])
        for name in (node.op, *node.functions):
            if name in bodies and name not in seen_functions:
                seen_functions.add(name)
                # A body's inputs are its own: their names are not the graph's.
                pending.extend(
                    Node(name=each.name, op=each.op, inputs=(), functions=each.functions)
                    for each in bodies[name]
                )
