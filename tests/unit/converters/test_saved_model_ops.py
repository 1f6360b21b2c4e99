from __future__ import annotations

import pytest

from edgemeter_converters.models.saved_model_ops import Node, Offence, offence

STATEFUL = {"SaveV2": True, "RestoreV2": True, "WriteFile": True, "PrintV2": True, "EagerPyFunc": True}
KNOWN = ["MatMul", "Relu", "Placeholder", "ReadFile", "PartitionedCall", "NoOp", "ShardedFilename"]


def is_stateful(op: str) -> bool | None:
    return STATEFUL.get(op, False if op in KNOWN else None)


def node(name: str, op: str, *inputs: str, functions: tuple[str, ...] = ()) -> Node:
    return Node(name=name, op=op, inputs=inputs, functions=functions)


SERVED = [node("x", "Placeholder"), node("y", "StatefulPartitionedCall", "x", functions=("net",))]
NET = [node("w", "VarHandleOp"), node("v", "ReadVariableOp", "w"), node("m", "MatMul", "v")]
SAVER = [node("name", "ShardedFilename"), node("save", "SaveV2", "name"), node("restore", "RestoreV2")]


def test_what_only_computes_is_let_in() -> None:
    assert offence(SERVED, {"net": NET}, ["y"], is_stateful) is None


def test_the_saver_is_let_in_where_nothing_gets_to_it() -> None:
    assert offence([*SERVED, *SAVER], {"net": NET}, ["y"], is_stateful) is None


@pytest.mark.parametrize("op", ["ReadFile", "WriteFile", "PrintV2", "EagerPyFunc", "SomebodysOwn"])
def test_names_the_op_wherever_it_is(op: str) -> None:
    bad = node("bad", op)
    found = Offence(op=op, node="bad")
    assert offence([*SERVED, bad], {"net": NET}, ["y"], is_stateful) == found
    assert offence(SERVED, {"net": [*NET, bad]}, ["y"], is_stateful) == found
    # Nothing calls it; there it is all the same.
    assert offence(SERVED, {"net": NET, "other": [bad]}, ["y"], is_stateful) == found


@pytest.mark.parametrize(
    ("main", "library"),
    [
        pytest.param([*SERVED, node("z", "SaveV2", "y")], {"net": NET}, id="an output"),
        pytest.param(
            [SERVED[0], node("z", "NoOp", "save"), node("save", "SaveV2"), SERVED[1]],
            {"net": NET},
            id="what an output waits for",
        ),
        pytest.param(
            [node("z", "PartitionedCall", functions=("deep",))],
            {"deep": [node("call", "net")], "net": [node("save", "SaveV2")]},
            id="a function that a function calls",
        ),
        pytest.param(
            [node("z", "PartitionedCall", functions=("loop",))],
            {"loop": [node("while", "While", functions=("loop", "body"))], "body": [node("s", "RestoreV2")]},
            id="a loop that calls itself",
        ),
    ],
)
def test_the_saver_is_refused_where_serving_gets_to_it(
    main: list[Node], library: dict[str, list[Node]]
) -> None:
    found = offence(main, library, ["z"], is_stateful)
    assert found is not None
    assert found.op in ("SaveV2", "RestoreV2")
