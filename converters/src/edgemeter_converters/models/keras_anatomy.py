"""What a Keras network consists of: multiply-accumulates, layers, weights.

The network is run once on zeros, and every layer's call is looked at: shapes are then known whatever the
network's structure, and a shared layer counts as often as it is called.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import numpy as np

from edgemeter_converters.models.model import Anatomy, LayerCount
from edgemeter_protos.v1 import variant_pb2

Shapes = Sequence[tuple[int, ...]]


def anatomy(network: Any, signature: variant_pb2.Signature) -> Anatomy:
    """Of a built `keras.Model`; its MACs are 0 where a dimension beside the batch is free.

    Layers within composite ones (attention's, a bidirectional layer's) count as parts of these; those of
    nested models count as themselves.
    """
    counts: Counter[str] = Counter()
    parameters: Counter[str] = Counter()
    for layer in _units(network, set()):
        kind = type(layer).__name__
        counts[kind] += 1
        parameters[kind] += int(layer.count_params())
    return Anatomy(
        macs=macs(network, signature),
        layers=tuple(
            LayerCount(kind=kind, count=count, parameters=parameters[kind])
            for kind, count in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
        ),
        non_zero_parameters=sum(int(np.count_nonzero(each)) for each in network.get_weights()),
    )


def macs(network: Any, signature: variant_pb2.Signature) -> int:
    """Multiply-accumulates of one inference of one sample."""
    return sum(by_layer(network, signature).values())


def by_layer(network: Any, signature: variant_pb2.Signature) -> dict[str, int]:
    """Multiply-accumulates by the layer's name, over all of its calls; those that have none left out."""
    if any(-1 in spec.shape[1:] for spec in signature.inputs):
        return {}
    from edgemeter_converters.models.keras import call_flat

    counted: Counter[str] = Counter()

    def look(layer: Any, inputs: Shapes, outputs: Shapes) -> None:
        found = layer_macs(layer, inputs, outputs)
        if found:
            counted[layer.name] += found

    with _calls_shown_to(look):
        call_flat(network, [np.zeros((1, *spec.shape[1:]), dtype=spec.dtype) for spec in signature.inputs])
    return dict(counted)


def layer_macs(layer: Any, inputs: Shapes, outputs: Shapes) -> int:
    """Of one call of a layer, without those of the layers that it calls itself.

    Args:
        inputs, outputs: shapes of every tensor that it took and gave, batch of 1 first.
    """
    for kind in type(layer).__mro__:
        counter = _MACS.get(kind.__name__)
        if counter is not None and kind.__module__.startswith("keras."):
            return counter(layer, inputs, outputs)
    return 0


@contextmanager
def _calls_shown_to(look: Callable[[Any, Shapes, Shapes], None]) -> Iterator[None]:
    """Every call of a layer or an op in this process is shown to `look`."""
    import keras

    # A layer is an operation, and its own call goes on to the operation's.
    operation, call = keras.Operation, keras.Operation.__call__

    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = call(self, *args, **kwargs)
        look(self, _shapes((args, kwargs)), _shapes(given))
        return given

    operation.__call__ = called
    try:
        yield
    finally:
        operation.__call__ = call


def _shapes(structure: Any) -> list[tuple[int, ...]]:
    import keras

    leaves = keras.tree.flatten(structure)
    return [tuple(leaf.shape) for leaf in leaves if hasattr(leaf, "shape")]


def _units(network: Any, seen: set[int]) -> Iterator[Any]:
    import keras

    for layer in network.layers:
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        if isinstance(layer, keras.Model):
            yield from _units(layer, seen)
        else:
            yield layer


def _conv(layer: Any, inputs: Shapes, outputs: Shapes) -> int:  # noqa: ARG001
    """Kernel (*window, in / groups, filters), once for every place of the output."""
    return _places(layer, outputs[0]) * _product(layer.kernel.shape)


def _conv_transpose(layer: Any, inputs: Shapes, outputs: Shapes) -> int:  # noqa: ARG001
    """Kernel (*window, filters, in), once for every place of the input."""
    return _places(layer, inputs[0]) * _product(layer.kernel.shape)


def _depthwise(layer: Any, inputs: Shapes, outputs: Shapes) -> int:  # noqa: ARG001
    return _places(layer, outputs[0]) * _product(layer.kernel.shape)


def _separable(layer: Any, inputs: Shapes, outputs: Shapes) -> int:  # noqa: ARG001
    kernels = _product(layer.depthwise_kernel.shape) + _product(layer.pointwise_kernel.shape)
    return _places(layer, outputs[0]) * kernels


def _dense(layer: Any, inputs: Shapes, outputs: Shapes) -> int:  # noqa: ARG001
    return _product(outputs[0]) * inputs[0][-1]


def _einsum_dense(layer: Any, inputs: Shapes, outputs: Shapes) -> int:  # noqa: ARG001
    return einsum_macs(layer.equation, (inputs[0], tuple(layer.kernel.shape)))


def _einsum(layer: Any, inputs: Shapes, outputs: Shapes) -> int:  # noqa: ARG001
    return einsum_macs(layer.subscripts, inputs)


def einsum_macs(equation: str, shapes: Shapes) -> int:
    """The product of every index's size: "ab,bc->ac" over (2, 3), (3, 4) takes 24. Pure."""
    sizes: dict[str, int] = {}
    rest = 1
    for subscripts, shape in zip(
        equation.replace(" ", "").partition("->")[0].split(","), shapes, strict=True
    ):
        before, dots, after = subscripts.partition("...")
        hidden = len(shape) - len(before) - len(after) if dots else 0
        rest = max(rest, _product(shape[len(before) : len(before) + hidden]))
        sizes |= dict(zip(before, shape, strict=False)) | dict(
            zip(after, shape[len(shape) - len(after) :], strict=True)
        )
    return rest * _product(sizes.values())


def _matmul(layer: Any, inputs: Shapes, outputs: Shapes) -> int:  # noqa: ARG001
    return _product(outputs[0]) * inputs[0][-1]


def _dot(layer: Any, inputs: Shapes, outputs: Shapes) -> int:
    axis = layer.axes[0] if isinstance(layer.axes, list | tuple) else layer.axes
    return _product(outputs[0]) * inputs[0][axis]


def _attention(layer: Any, inputs: Shapes, outputs: Shapes) -> int:  # noqa: ARG001
    """Scores of every query against every key, and their sums over the values."""
    query, value = inputs[0], inputs[1]
    return query[1] * value[1] * (query[-1] + value[-1])


def _multi_head(layer: Any, inputs: Shapes, outputs: Shapes) -> int:  # noqa: ARG001
    """As `_attention`, for each head; its projections are layers that it calls."""
    query, value = _product(inputs[0][1:-1]), _product(inputs[1][1:-1])
    return int(query * value * layer.num_heads * (layer.key_dim + layer.value_dim))


def _grouped_query(layer: Any, inputs: Shapes, outputs: Shapes) -> int:  # noqa: ARG001
    return int(inputs[0][1] * inputs[1][1] * layer.num_query_heads * layer.head_dim * 2)


def _rnn(layer: Any, inputs: Shapes, outputs: Shapes) -> int:  # noqa: ARG001
    """Both matrices of its cell, or cells, once a time step: (in or units, gates by units)."""
    cells = getattr(layer.cell, "cells", [layer.cell])
    kernels = sum(
        _product(matrix.shape)
        for cell in cells
        for matrix in (getattr(cell, "kernel", None), getattr(cell, "recurrent_kernel", None))
        if matrix is not None
    )
    return inputs[0][1] * kernels


def _conv_rnn(layer: Any, inputs: Shapes, outputs: Shapes) -> int:
    """Both kernels of its cell, for every place and time step."""
    places = outputs[0][2:-1] if layer.return_sequences else outputs[0][1:-1]
    kernels = _product(layer.cell.kernel.shape) + _product(layer.cell.recurrent_kernel.shape)
    return inputs[0][1] * _product(places) * kernels


def _time_distributed(layer: Any, inputs: Shapes, outputs: Shapes) -> int:
    """Its layer is not called as a layer, but its `call` for each time step."""
    first = [(shape[0], *shape[2:]) for shape in inputs]
    return inputs[0][1] * layer_macs(layer.layer, first, [(shape[0], *shape[2:]) for shape in outputs])


def _product(sizes: Any) -> int:
    return int(math.prod(sizes))


def _places(layer: Any, shape: tuple[int, ...]) -> int:
    return _product(shape[1:-1] if layer.data_format == "channels_last" else shape[2:])


_MACS: MappingProxyType[str, Callable[[Any, Shapes, Shapes], int]] = MappingProxyType(
    {
        "BaseConv": _conv,
        "BaseConvTranspose": _conv_transpose,
        "BaseDepthwiseConv": _depthwise,
        "BaseSeparableConv": _separable,
        "Dense": _dense,
        "EinsumDense": _einsum_dense,
        "Einsum": _einsum,
        "Matmul": _matmul,
        "Dot": _dot,
        "Attention": _attention,
        "MultiHeadAttention": _multi_head,
        "GroupedQueryAttention": _grouped_query,
        "ConvRNN": _conv_rnn,
        "RNN": _rnn,
        "TimeDistributed": _time_distributed,
    }
)
