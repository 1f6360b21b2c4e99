"""What each Keras layer does to channels: a network, told as a `ChannelGraph`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from edgemeter_converters.compress.keras.channel_graph import OUTPUTS_STAY, Call, ChannelGraph, Role
from edgemeter_converters.compress.keras.network import CallGraph, LayerCall

Shape = tuple[int | None, ...]

ELEMENTWISE_ACTIVATIONS = frozenset(
    {"celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu"}
    | {"hard_swish", "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "mish", "relu"}
    | {"relu6", "selu", "sigmoid", "silu", "soft_shrink", "softplus", "softsign"}
    | {"sparse_plus", "squareplus", "swish", "tanh", "tanh_shrink", "threshold"}
)
"""Those that make channel i of channel i alone: not softmax, log_softmax, sparsemax, glu."""

CONVOLUTIONS = frozenset({"Conv1D", "Conv2D", "Conv3D", "SeparableConv1D", "SeparableConv2D"})
TRANSPOSED = frozenset({"Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"})
DEPTHWISE = frozenset({"DepthwiseConv1D", "DepthwiseConv2D"})
_MERGES = frozenset({"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"})
_PASSES = frozenset(
    {"ReLU", "LeakyReLU", "ELU", "Dropout", "GaussianNoise", "GaussianDropout", "AlphaDropout"}
    | {"ActivityRegularization", "Identity", "RepeatVector"}
    | {f"SpatialDropout{n}D" for n in (1, 2, 3)}
    | {f"{kind}Pooling{n}D" for kind in ("Max", "Average", "GlobalMax", "GlobalAverage") for n in (1, 2, 3)}
    | {f"{kind}{n}D" for kind in ("ZeroPadding", "Cropping", "UpSampling") for n in (1, 2, 3)}
)
_OPERATOR_MERGES = frozenset({"Add", "Subtract", "Multiply", "Maximum", "Minimum"})
_OPERATOR_PASSES = frozenset(
    {
        "Relu",
        "Relu6",
        "Silu",
        "Sigmoid",
        "Tanh",
        "Gelu",
        "HardSilu",
        "HardSigmoid",
        "Elu",
        "Selu",
        "LeakyRelu",
    }
    | {"Softplus", "Softsign", "Negative", "Absolute", "Square", "Mish"}
)


@dataclass(frozen=True, kw_only=True)
class Described:
    """A network's channels, and under which name each of its operations stands in them."""

    graph: ChannelGraph
    keys: dict[int, str]
    """By `id(operation)`."""


def describe(network: CallGraph) -> Described:
    """Any network at all: what is not known is `OPAQUE`."""
    keys = _keys(network)
    shapes: dict[int, Shape] = dict(zip(network.inputs, network.input_shapes, strict=True))
    for call in network.calls:
        shapes.update(zip(call.outputs, call.shapes, strict=True))
    calls: list[Call] = []
    for at, call in enumerate(network.calls):
        key = keys[id(call.operation)]
        if not _has_own_axes(call.operation):
            # One ReLU for a whole network ties nothing.
            key = f"{key}#{at}"
        told = _role(call, [shapes[tensor] for tensor in call.inputs])
        if told.coupled and call.outputs[0] in network.outputs:
            # They stay whole for a better reason.
            told = replace(told, reason=OUTPUTS_STAY if told.reason else "", coupled="")
        calls.extend(_calls(call, key, told, virtual=-1 - at))
    return Described(
        graph=ChannelGraph(
            inputs={number: _width(shapes[number]) for number in network.inputs},
            calls=tuple(calls),
            outputs=network.outputs,
        ),
        keys=keys,
    )


@dataclass(frozen=True, kw_only=True)
class _Told:
    role: Role
    times: int = 1
    reason: str = ""
    indices_only: bool = False
    """Its input is no channels but numbers of rows."""
    coupled: str = ""
    """Why its activation keeps its output's channels whole; empty where it does not."""


def _calls(call: LayerCall, key: str, told: _Told, virtual: int) -> list[Call]:
    widths = tuple(_width(shape) for shape in call.shapes)
    inputs = () if told.indices_only else call.inputs
    apart = bool(told.coupled) and told.role is not Role.OPAQUE
    outputs = (virtual,) if apart else call.outputs
    made = [
        Call(
            layer=key,
            role=told.role,
            inputs=inputs,
            outputs=outputs,
            widths=widths,
            times=told.times,
            reason=told.reason,
        )
    ]
    if apart:
        made.append(
            Call(
                layer=f"{key}'s activation",
                role=Role.OPAQUE,
                inputs=outputs,
                outputs=call.outputs,
                widths=widths,
                reason=told.coupled,
            )
        )
    return made


def _keys(network: CallGraph) -> dict[int, str]:
    keys: dict[int, str] = {}
    taken: set[str] = set()
    for at, operation in enumerate(network.operations()):
        name = str(operation.name)
        keys[id(operation)] = name if name not in taken else f"{name} ({at})"
        taken.add(name)
    return keys


def _has_own_axes(operation: Any) -> bool:
    """Whether something in an operation is as long as a tensor's last axis."""
    return bool(getattr(operation, "weights", ())) or type(operation).__name__ == "Reshape"


def _width(shape: Shape) -> int | None:
    return shape[-1] if len(shape) > 1 else None


def _role(call: LayerCall, inputs: list[Shape]) -> _Told:
    import keras

    operation, kind = call.operation, type(call.operation).__name__
    if len(call.outputs) != 1 or _width(call.shapes[0]) is None or not inputs:
        return _opaque(operation, "gives tensors of unknown or several shapes")
    if not type(operation).__module__.startswith("keras."):
        return _opaque(operation, "is none of Keras's own layers")
    if not isinstance(operation, keras.Layer):
        return _operator(call, inputs)
    if getattr(operation, "data_format", "channels_last") == "channels_first":
        return _opaque(operation, "has its channels first")
    if getattr(operation, "lora_enabled", False) or getattr(operation, "quantization_mode", None):
        return _opaque(operation, "has quantized or adapted weights")
    if kind in _PASSES:
        return _Told(role=Role.PASS)
    if kind in _MERGES:
        return _merge(operation, inputs)
    rule = _RULES.get(kind)
    if rule is None:
        return _opaque(operation, "has weights or an order that channels can't be taken out of")
    return rule(operation, inputs, call.shapes[0])


def _operator(call: LayerCall, inputs: list[Shape]) -> _Told:
    """Of an operation such as that of `x + y`, whose arguments may be numbers too."""
    operation, kind = call.operation, type(call.operation).__name__
    marks = [object() for _ in inputs]
    args, kwargs = call.arguments(marks)
    listed = [each for arg in args for each in (arg if isinstance(arg, list | tuple) else [arg])]
    plain = all(
        any(each is mark for mark in marks) or each is None or isinstance(each, bool | int | float | str)
        for each in [*listed, *kwargs.values()]
    )
    if plain and kind in _OPERATOR_PASSES and len(inputs) == 1:
        return _Told(role=Role.PASS)
    if plain and kind in _OPERATOR_MERGES:
        return _merge(operation, inputs)
    if plain and kind == "Concatenate":
        return _concatenate(operation, inputs, call.shapes[0])
    return _opaque(operation, "is an operator whose channels are not followed")


def _merge(operation: Any, inputs: list[Shape]) -> _Told:
    if len({len(shape) for shape in inputs}) > 1:
        return _opaque(operation, "merges tensors of several ranks")
    return _Told(role=Role.TIE)


def _mixing(operation: Any, _inputs: list[Shape], _output: Shape) -> _Told:
    if getattr(operation, "groups", 1) > 1:
        return _opaque(operation, "convolves in groups")
    return _Told(role=Role.MIX, coupled=_coupling(operation))


def _embedding(_operation: Any, _inputs: list[Shape], _output: Shape) -> _Told:
    return _Told(role=Role.MIX, indices_only=True)


def _depthwise(operation: Any, _inputs: list[Shape], _output: Shape) -> _Told:
    return _Told(role=Role.REPEAT, times=int(operation.depth_multiplier), coupled=_coupling(operation))


def _activation(operation: Any, _inputs: list[Shape], _output: Shape) -> _Told:
    coupling = _coupling(operation)
    return _Told(role=Role.OPAQUE if coupling else Role.PASS, reason=coupling, coupled=coupling)


def _batch_normalization(operation: Any, inputs: list[Shape], _output: Shape) -> _Told:
    if operation.axis not in (-1, len(inputs[0]) - 1):
        return _opaque(operation, "normalizes over another axis than the last")
    return _Told(role=Role.PASS)


def _prelu(operation: Any, inputs: list[Shape], _output: Shape) -> _Told:
    if operation.alpha.shape[-1] != inputs[0][-1]:
        return _opaque(operation, "shares its slope among channels")
    return _Told(role=Role.PASS)


def _rescaling(operation: Any, _inputs: list[Shape], _output: Shape) -> _Told:
    if all(isinstance(each, int | float) for each in (operation.scale, operation.offset)):
        return _Told(role=Role.PASS)
    return _opaque(operation, "has a scale for each channel")


def _concatenate(operation: Any, inputs: list[Shape], output: Shape) -> _Told:
    if len({len(shape) for shape in inputs}) > 1:
        return _opaque(operation, "merges tensors of several ranks")
    along_channels = operation.axis in (-1, len(output) - 1)
    return _Told(role=Role.CONCATENATE if along_channels else Role.TIE)


def _flatten(operation: Any, inputs: list[Shape], output: Shape) -> _Told:
    positions = inputs[0][1:-1]
    if inputs[0][-1] is None or output[-1] is None or None in positions:
        return _opaque(operation, "flattens a tensor of unknown size")
    return _Told(role=Role.TILE, times=math.prod(size for size in positions if size is not None))


def _reshape(operation: Any, inputs: list[Shape], output: Shape) -> _Told:
    if inputs[0][-1] == output[-1]:
        return _Told(role=Role.PASS)
    if len(output) == 2:
        return _flatten(operation, inputs, output)
    return _opaque(operation, "moves values from one channel to another")


def _permute(operation: Any, inputs: list[Shape], _output: Shape) -> _Told:
    if operation.dims[-1] == len(inputs[0]) - 1:
        return _Told(role=Role.PASS)
    return _opaque(operation, "moves the channels to another axis")


def _coupling(operation: Any) -> str:
    """Why an operation's activation makes a channel of others; empty where it does not."""
    activation = getattr(operation, "activation", operation)
    name = getattr(activation, "__name__", type(activation).__name__)
    if activation is None or name in ELEMENTWISE_ACTIVATIONS:
        return ""
    return f"layer {operation.name!r} has the activation {name}, which goes over channels"


def _opaque(operation: Any, why: str) -> _Told:
    return _Told(role=Role.OPAQUE, reason=f"layer {operation.name!r} ({type(operation).__name__}) {why}")


_RULES: dict[str, Callable[[Any, list[Shape], Shape], _Told]] = {
    **dict.fromkeys(("Dense", *CONVOLUTIONS, *TRANSPOSED), _mixing),
    **dict.fromkeys(DEPTHWISE, _depthwise),
    "Embedding": _embedding,
    **dict.fromkeys(("Activation", "Softmax"), _activation),
    "BatchNormalization": _batch_normalization,
    "PReLU": _prelu,
    "Rescaling": _rescaling,
    "Concatenate": _concatenate,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Permute": _permute,
}
