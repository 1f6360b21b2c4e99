"""The weights that compression is about: kernels of rank 2 and more, not biases or statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_KERNELS = frozenset({"kernel", "pointwise_kernel", "recurrent_kernel"})
_DEPTHWISE = frozenset({"depthwise_kernel"})
_TRANSPOSED = frozenset({"Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"})


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One of a network's kernels.

    Attributes:
        layer: its layer's name.
        variable: a `keras.Variable`.
        input_axis: that along which a product sums up; -2 but for transposed convolutions.
        depthwise: whether each output is made of one input channel alone.
        embedding: whether it is looked up, not multiplied.
    """

    layer: str
    variable: Any
    input_axis: int
    depthwise: bool = False
    embedding: bool = False


def kernels(network: Any) -> tuple[Kernel, ...]:
    """Of every layer, those within wrappers, attention and recurrent cells too; each once."""
    found: dict[int, Kernel] = {}
    for layer in network._flatten_layers():
        for variable in layer._trainable_variables:
            kernel = _kernel(layer, variable)
            if kernel is not None:
                found.setdefault(id(variable), kernel)
    return tuple(found.values())


def _kernel(layer: Any, variable: Any) -> Kernel | None:
    kind, name = type(layer).__name__, variable.name
    if len(variable.shape) < 2:
        return None
    if name == "embeddings":
        return Kernel(layer=layer.name, variable=variable, input_axis=-2, embedding=True)
    if name in _DEPTHWISE or (kind.startswith("Depthwise") and name == "kernel"):
        return Kernel(layer=layer.name, variable=variable, input_axis=-2, depthwise=True)
    if name not in _KERNELS:
        return None
    return Kernel(layer=layer.name, variable=variable, input_axis=_input_axis(layer, variable))


def _input_axis(layer: Any, variable: Any) -> int:
    rank = len(variable.shape)
    if type(layer).__name__ in _TRANSPOSED:
        return rank - 1
    if type(layer).__name__ == "EinsumDense":
        # "abc,cde->abde": the last of the kernel's letters that the result has no more.
        _, _, rest = layer.equation.partition(",")
        letters, _, result = rest.partition("->")
        return max(at for at, letter in enumerate(letters) if letter not in result)
    return rank - 2
