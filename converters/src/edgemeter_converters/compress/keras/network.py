"""A Keras network as the calls of its layers, and networks rebuilt from such calls.

Nested models are taken apart: a rebuilt network is one functional model of plain layers under their names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.models.model import LoadedModel

Weights = list[NDArray[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerCall:
    """One call of one operation.

    Attributes:
        operation: a `keras.Layer`, or a `keras.Operation` such as that of `x + y`.
        inputs: numbers of the tensors that it takes, in the order of its arguments.
        outputs: numbers of the tensors that it gives.
        shapes: of `outputs`; None for a dimension of any size.
        arguments: given tensors for `inputs`, the positional and the keyword arguments of the call.
    """

    operation: Any
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    shapes: tuple[tuple[int | None, ...], ...]
    arguments: Callable[[Sequence[Any]], tuple[tuple[Any, ...], dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class CallGraph:
    """A network, taken apart.

    Attributes:
        inputs, outputs: numbers of the network's tensors; inputs are the first numbers there are.
        calls: each after those whose outputs it takes.
    """

    inputs: tuple[int, ...]
    input_shapes: tuple[tuple[int | None, ...], ...]
    outputs: tuple[int, ...]
    calls: tuple[LayerCall, ...]

    def operations(self) -> Iterator[Any]:
        """Each once, in the order of their first calls."""
        yield from {id(call.operation): call.operation for call in self.calls}.values()

    def consumers(self) -> dict[int, list[LayerCall]]:
        """Of each tensor, the calls that take it."""
        found: dict[int, list[LayerCall]] = {}
        for call in self.calls:
            for tensor in call.inputs:
                found.setdefault(tensor, []).append(call)
        return found


@dataclass(frozen=True, kw_only=True)
class Replacement:
    """What stands for a layer: layers that are called one after the other, and what they weigh.

    Attributes:
        layers: new ones, not built; the first is called with the replaced layer's arguments.
        weights: of each, as `set_weights` takes them; None for those that it starts with.
    """

    layers: tuple[Any, ...]
    weights: tuple[Weights | None, ...]


def call_graph(network: Any) -> CallGraph:
    """Args:
    network: a functional or Sequential `keras.Model` that has been built.
    """
    numbers: dict[int, int] = {id(tensor): at for at, tensor in enumerate(network.inputs)}
    walk = _Walk(count=len(numbers))
    outputs = walk.through(_functional(network), numbers)
    return CallGraph(
        inputs=tuple(range(len(network.inputs))),
        input_shapes=tuple(tuple(tensor.shape) for tensor in network.inputs),
        outputs=tuple(outputs),
        calls=tuple(walk.calls),
    )


def rebuild(
    network: Any,
    replace_layer: Callable[[Any], Replacement | None],
    after_input: Callable[[Any], Any] = lambda tensor: tensor,
) -> Any:
    """A new `keras.Model` with the network's inputs, outputs and calls, all of whose weights may be trained.

    Args:
        replace_layer: what stands for an operation; None for its like, with the same weights.
        after_input: makes what the network sees of what it is given, both symbolic tensors.
    """
    import keras

    graph = call_graph(network)
    stateful = any(getattr(each, "stateful", False) for each in graph.operations())
    inputs: list[Any] = []
    for tensor in network.inputs:
        # Files are of batch 1, training is not: the batch is free, but for layers that remember each sample.
        batch = tensor.shape[0] if stateful else None
        shape = (batch, *tensor.shape[1:])
        inputs.append(keras.Input(batch_shape=shape, dtype=tensor.dtype, name=tensor.name))
    tensors = {number: after_input(tensor) for number, tensor in zip(graph.inputs, inputs, strict=True)}
    made: dict[int, Replacement] = {}
    names: set[str] = set()
    for call in graph.calls:
        key = id(call.operation)
        if key not in made:
            made[key] = _named_apart(_replacement(call.operation, replace_layer), names)
        first, *others = made[key].layers
        args, kwargs = call.arguments([tensors[number] for number in call.inputs])
        result = first(*args, **kwargs)
        for layer in others:
            result = layer(result)
        tensors.update(zip(call.outputs, keras.tree.flatten(result), strict=True))
    struct = keras.tree.pack_sequence_as(_functional(network).input, inputs)
    outputs = keras.tree.pack_sequence_as(
        _functional(network).output, [tensors[number] for number in graph.outputs]
    )
    new = keras.Model(struct, outputs, name=network.name)
    for replacement in made.values():
        for layer, weights in zip(replacement.layers, replacement.weights, strict=True):
            if weights is not None:
                _set_weights(layer, weights)
    new.trainable = True
    return new


def clone(operation: Any) -> Any:
    """A new operation of the same configuration; a layer's weights are its initializers'."""
    return type(operation).from_config(operation.get_config())


def copy(network: Any) -> Any:
    """A new network that computes the same."""
    return rebuild(network, lambda _layer: None)


def loaded(network: Any, like: LoadedModel) -> LoadedModel:
    """A network that has taken another's place: the same inputs and outputs."""
    return replace(like, network=network, parameters=int(network.count_params()))


@dataclass(kw_only=True)
class _Walk:
    """Numbers tensors while it goes through a network and the networks in it."""

    count: int
    calls: list[LayerCall] = field(default_factory=list)

    def through(self, network: Any, numbers: dict[int, int]) -> list[int]:
        """The numbers of the network's outputs.

        Args:
            numbers: of its inputs by identity; those of all its tensors are added.
        """
        for depth in sorted(network._nodes_by_depth, reverse=True):
            for node in network._nodes_by_depth[depth]:
                if node.is_input or not node.operation:
                    continue
                inputs = [numbers[id(tensor)] for tensor in node.input_tensors]
                for tensor, number in zip(node.outputs, self._call(node, inputs), strict=True):
                    numbers[id(tensor)] = number
        return [numbers[id(tensor)] for tensor in network.outputs]

    def _call(self, node: Any, inputs: list[int]) -> list[int]:
        inner = _functional(node.operation)
        if inner is not None and len(inner.inputs) == len(inputs):
            given = {id(tensor): number for tensor, number in zip(inner.inputs, inputs, strict=True)}
            return self.through(inner, given)
        outputs = list(range(self.count, self.count + len(node.outputs)))
        self.count += len(outputs)
        keys = [id(tensor) for tensor in node.input_tensors]

        def arguments(tensors: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            args, kwargs = node.arguments.fill_in(dict(zip(keys, tensors, strict=True)))
            return tuple(args), dict(kwargs)

        self.calls.append(
            LayerCall(
                operation=node.operation,
                inputs=tuple(inputs),
                outputs=tuple(outputs),
                shapes=tuple(tuple(tensor.shape) for tensor in node.outputs),
                arguments=arguments,
            )
        )
        return outputs


def _functional(operation: Any) -> Any:
    """The functional model that an operation is or holds; None for a layer."""
    import keras
    from keras.src.models.functional import Functional

    if isinstance(operation, keras.Sequential):
        return operation._functional
    return operation if isinstance(operation, Functional) else None


def _replacement(operation: Any, replace_layer: Callable[[Any], Replacement | None]) -> Replacement:
    import keras

    chosen = replace_layer(operation)
    if chosen is not None:
        return chosen
    weights = operation.get_weights() if isinstance(operation, keras.Layer) else None
    return Replacement(layers=(clone(operation),), weights=(weights,))


def _named_apart(replacement: Replacement, names: set[str]) -> Replacement:
    """Two nested models may each have a layer of one name; a model may not."""
    for layer in replacement.layers:
        name, count = layer.name, 1
        while layer.name in names:
            count += 1
            layer.name = f"{name}_{count}"
        names.add(layer.name)
    return replacement


def _set_weights(layer: Any, weights: Weights) -> None:
    layer.set_weights([np.asarray(each) for each in weights])
    for each in layer._flatten_layers():
        # Normalization computes with copies of its weights, made when they are complete.
        if hasattr(each, "finalize_state"):
            each.finalize_state()
