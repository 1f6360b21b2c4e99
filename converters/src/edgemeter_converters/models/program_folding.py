"""A torch program with its constants computed, and what follows a convolution put into it.

Keras's layers on torch compute channels last: around each convolution stand transpositions, its kernel is
turned anew in each call, and bias and batch normalization are arithmetic behind it. Quantizers and runtimes
look for a convolution with constant weights and a bias; this makes that of it. What is computed stays the
same but for rounding.
"""

from __future__ import annotations

from typing import Any

_NOTHING = frozenset(
    f"aten.{name}.default" for name in ("alias", "clone", "contiguous", "lift_fresh_copy", "detach")
)
"""Ops that change no number."""

_CASTS = frozenset({"aten.to.dtype", "aten.to.dtype_layout", "aten._to_copy.default"})
"""These neither, where the type stays."""

_CHECKS = frozenset({"aten._assert_tensor_metadata.default"})

_UNARY = frozenset(
    f"aten.{name}.default"
    for name in ("relu", "sigmoid", "tanh", "silu", "hardtanh", "hardswish", "hardsigmoid", "gelu", "elu")
) | {"aten.leaky_relu.default", "aten.clamp.default", "aten.relu6.default", "aten.dropout.default"}
"""Element by element, so that it does not matter whether they come before or after a transposition."""

_BINARY = frozenset(f"aten.{name}.Tensor" for name in ("add", "sub", "subtract", "mul", "multiply"))

_CONVOLUTIONS = frozenset({"aten.conv1d.default", "aten.conv2d.default", "aten.conv3d.default"})
_TRANSPOSED = frozenset({"aten.conv_transpose1d.default", "aten.conv_transpose2d.input"})
"""Ungrouped ones have their output channels along the second axis of the kernel."""


def fold(program: Any) -> Any:
    """A graph module that computes what the exported program does, whose weights it may share."""
    # With no decompositions: what is written in place is made a function of its inputs, and no more.
    module = program.run_decompositions({}).module(check_guards=False)
    graph = module.graph
    _drop_what_does_nothing(graph)
    _compute_constants(module)
    # Each may make way for another.
    while _sink_transpositions(graph) or _put_into_convolutions(module) or _make_linear(module):
        graph.eliminate_dead_code()
    graph.eliminate_dead_code()
    _forget_unused(module)
    graph.lint()
    module.recompile()
    return module


def _drop_what_does_nothing(graph: Any) -> None:
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        kind = str(node.target)
        if kind in _CHECKS:
            graph.erase_node(node)
        elif kind in _NOTHING or (kind in _CASTS and _dtype(node) == _dtype(node.args[0])):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
        elif kind in ("aten.view.default", "aten._unsafe_view.default"):
            # A view may have stood on a copy that is gone now.
            node.target = _op("aten.reshape.default")


def _compute_constants(module: Any) -> None:
    import torch

    values: dict[Any, Any] = {}
    with torch.no_grad():
        for node in list(module.graph.nodes):
            if node.op == "get_attr":
                values[node] = _attribute(module, node.target)
            elif _is_constant(node, values):
                arguments, named = torch.fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
                values[node] = node.target(*arguments, **named)
    for node, value in values.items():
        used_further = any(user not in values for user in node.users)
        if node.op == "call_function" and used_further and isinstance(value, torch.Tensor):
            node.replace_all_uses_with(_constant(module, node, value.detach().contiguous().clone()))
    module.graph.eliminate_dead_code()


def _is_constant(node: Any, values: dict[Any, Any]) -> bool:
    inputs = node.all_input_nodes
    return node.op == "call_function" and bool(inputs) and all(each in values for each in inputs)


def _sink_transpositions(graph: Any) -> bool:
    """Moves transpositions behind what does not mind them, and takes out those that undo each other."""
    for node in list(graph.nodes):
        if _kind(node) == "aten.permute.default":
            source = node.args[0]
            if _kind(source) == "aten.permute.default":
                order = [source.args[1][axis] for axis in node.args[1]]
                if order == sorted(order):
                    node.replace_all_uses_with(source.args[0])
                else:
                    node.args = (source.args[0], order)
                if order == sorted(order) or not source.users:
                    return True
            continue
        moved = _transposed_alike(node)
        if moved:
            _move_behind(graph, node, moved)
            return True
    return False


def _transposed_alike(node: Any) -> list[int]:
    """The order of axes that all of an elementwise op's inputs come in; empty where there is none."""
    kind = _kind(node)
    if kind in _UNARY:
        sources = [node.args[0]]
    elif kind in _BINARY and len(node.args) == 2 and not node.kwargs:
        sources = list(node.args)
    else:
        return []
    orders = [
        tuple(each.args[1]) if _kind(each) == "aten.permute.default" and len(each.users) == 1 else None
        for each in sources
    ]
    if None in orders or len(set(orders)) != 1 or orders[0] is None:
        return []
    return list(orders[0])


def _move_behind(graph: Any, node: Any, order: list[int]) -> None:
    sources = [each for each in node.args if _kind(each) == "aten.permute.default"]
    value = node.meta.get("val")
    node.args = tuple(each.args[0] if each in sources else each for each in node.args)
    if value is not None:
        back = [order.index(axis) for axis in range(len(order))]
        node.meta["val"] = value.permute(back)
    with graph.inserting_after(node):
        permuted = graph.call_function(_op("aten.permute.default"), (node, order))
    permuted.meta.update(node.meta)
    permuted.meta["val"] = value
    node.replace_all_uses_with(permuted, delete_user_cb=lambda user: user is not permuted)
    for each in sources:
        graph.erase_node(each)


def _put_into_convolutions(module: Any) -> bool:
    """One constant that is added or multiplied to each channel of a convolution's output."""
    import torch

    for node in list(module.graph.nodes):
        if _kind(node) not in _CONVOLUTIONS | _TRANSPOSED or len(node.users) != 1:
            continue
        channel_axis = 1 if _kind(node) in _TRANSPOSED else 0
        if channel_axis and len(node.args) > 6 and node.args[6] != 1:
            continue
        weight = _constant_of(module, node.args[1])
        bias = _constant_of(module, node.args[2]) if len(node.args) > 2 and node.args[2] is not None else None
        if weight is None or (bias is None and len(node.args) > 2 and node.args[2] is not None):
            continue
        last, axis = next(iter(node.users)), 1
        source = node
        if _kind(last) == "aten.permute.default" and len(last.users) == 1:
            axis, source, last = list(last.args[1]).index(1), last, next(iter(last.users))
        channels = weight.shape[channel_axis]
        constant = _of_channels(module, last, source, axis, channels)
        if constant is None:
            continue
        old_bias = torch.zeros(channels) if bias is None else bias
        if "mul" in _kind(last):
            weight = weight * constant.reshape([-1 if at == channel_axis else 1 for at in range(weight.ndim)])
            old_bias = old_bias * constant
        else:
            old_bias = old_bias - constant if "sub" in _kind(last) else old_bias + constant
        new = [_constant(module, node, each.detach().clone()) for each in (weight, old_bias)]
        node.args = (node.args[0], *new, *node.args[3:])
        last.replace_all_uses_with(source)
        module.graph.erase_node(last)
        return True
    return False


def _of_channels(module: Any, node: Any, source: Any, axis: int, channels: int) -> Any:
    """The constant, one number a channel, that an op combines with `source`; None where it is no such op."""
    if _kind(node) not in _BINARY or len(node.args) != 2 or node.kwargs:
        return None
    if node.args[0] is source:
        other = node.args[1]
    elif node.args[1] is source and "sub" not in _kind(node):
        other = node.args[0]
    else:
        return None
    constant = _constant_of(module, other)
    value = source.meta.get("val")
    if constant is None or value is None or not constant.is_floating_point() or constant.ndim > value.ndim:
        return None
    shape = [1] * (value.ndim - constant.ndim) + list(constant.shape)
    if any(size != 1 for at, size in enumerate(shape) if at != axis) or shape[axis] not in (1, channels):
        return None
    return constant.reshape(-1).expand(channels)


def _make_linear(module: Any) -> bool:
    """A product with a constant matrix, and a vector added to it, are a linear layer."""
    for node in list(module.graph.nodes):
        if _kind(node) not in ("aten.matmul.default", "aten.mm.default"):
            continue
        matrix = _constant_of(module, node.args[1])
        if matrix is None or matrix.ndim != 2:
            continue
        # By one name: the steps of a recurrent layer share their matrix.
        name = f"{node.args[1].target.replace('.', '_')}_transposed"
        weight = _constant(module, node, matrix.t().contiguous(), name)
        user = next(iter(node.users)) if len(node.users) == 1 else None
        bias = None if user is None else _of_channels(module, user, node, _rank(node) - 1, matrix.shape[1])
        node.target = _op("aten.linear.default")
        node.args = (node.args[0], weight)
        if bias is not None and _kind(user) == "aten.add.Tensor" and user is not None:
            added = next(each for each in user.args if each is not node)
            name = f"{added.target.replace('.', '_')}_bias"
            node.args = (node.args[0], weight, _constant(module, node, bias.detach().clone(), name))
            user.replace_all_uses_with(node)
            module.graph.erase_node(user)
        return True
    return False


def _constant(module: Any, before: Any, value: Any, name: str = "") -> Any:
    """A node for a constant: a new one, or that of the name."""
    name = name or f"folded_{len(list(module.buffers()))}"
    if not hasattr(module, name):
        module.register_buffer(name, value)
    with module.graph.inserting_before(before):
        node = module.graph.get_attr(name)
    node.meta["val"] = value
    return node


def _forget_unused(module: Any) -> None:
    """Weights that no op uses any more."""
    used = {node.target for node in module.graph.nodes if node.op == "get_attr"}
    named = [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]
    for name, _ in named:
        if name not in used:
            owner, _, last = name.rpartition(".")
            delattr(module.get_submodule(owner), last)


def _constant_of(module: Any, node: Any) -> Any:
    return _attribute(module, node.target) if getattr(node, "op", "") == "get_attr" else None


def _attribute(module: Any, target: str) -> Any:
    value = module
    for part in target.split("."):
        value = getattr(value, part)
    return value


def _op(name: str) -> Any:
    import torch

    namespace, packet, overload = name.split(".")
    return getattr(getattr(getattr(torch.ops, namespace), packet), overload)


def _kind(node: Any) -> str:
    return str(node.target) if getattr(node, "op", "") == "call_function" else ""


def _dtype(node: Any) -> Any:
    value = node.meta.get("val")
    return None if value is None else value.dtype


def _rank(node: Any) -> int:
    value = node.meta.get("val")
    return 0 if value is None else value.ndim
