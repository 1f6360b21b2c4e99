"""Biases that would not fit into 32 bits. For conversion workers only.

A bias is stored in steps of its input's scale times its channel's weight scale. Where training has driven a
channel's weights to almost nothing, those steps are so small that the bias is cut off: squeeze-and-excite
blocks that came to give a constant give another one (in MobileNetV3-CenterNet, 0 for 3.8 to 5.4).
TensorFlow's converter widens the weights' scale there. ai-edge-quantizer 0.10 does not: the channel's largest
weight is raised to what makes it do so.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgemeter_converters.models import tflite_graph, tflite_packing
from edgemeter_converters.models.tflite_graph import CONVERSIONS, Graph, Op

_WEIGHTS_AT, _BIAS_AT = 1, 2
_KINDS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})

_LARGEST_WEIGHT = 127
"""What a channel's largest weight is stored as."""

_LARGEST_BIAS = 1 << 30
"""Half of what 32 bits hold, for sums need room too. What raising a weight adds to an output is then at most
127 * 255 / 2**30 of the bias: 0.003 %."""


def with_room(content: bytes, quantized: bytes) -> bytes:
    """The float32 file with weights raised in channels whose bias is cut off in `quantized`, which was made
    from it; the same object where there are none."""
    before, after = tflite_graph.read(content)[0], tflite_graph.read(quantized)[0]
    ops = [op for op in after.ops if op.kind not in CONVERSIONS]
    if [op.kind for op in before.ops] != [op.kind for op in ops]:
        return content
    users = Counter(
        before.tensors[place].buffer for op in before.ops for place in set(op.inputs) if place >= 0
    )
    model = None
    for op, made in zip(before.ops, ops, strict=True):
        raised = _raised(op, before, made, after)
        weights = before.tensors[op.inputs[_WEIGHTS_AT]] if raised is not None else None
        # What another op takes too is not this one's to change.
        if raised is None or weights is None or users[weights.buffer] > 1:
            continue
        model = model or schema.ModelT.InitFromPackedBuf(content, 0)
        model.buffers[weights.buffer].data = raised.reshape(-1).view(np.uint8)
    return content if model is None else tflite_packing.pack(model, content)


def _raised(op: Op, before: Graph, made: Op, after: Graph) -> NDArray[np.float32] | None:
    """The op's weights, changed; None where all biases fit."""
    if op.kind not in _KINDS or len(op.inputs) <= _BIAS_AT or op.inputs[_BIAS_AT] < 0:
        return None
    weights, bias = (before.tensors[op.inputs[at]] for at in (_WEIGHTS_AT, _BIAS_AT))
    source, stored = after.tensors[made.inputs[0]], after.tensors[made.inputs[_WEIGHTS_AT]]
    if weights.data is None or bias.data is None or weights.dtype != "float32" or bias.dtype != "float32":
        return None
    if len(source.scales) != 1 or stored.dtype != "int8" or source.dtype not in ("int8", "int16"):
        return None
    values = weights.data.view(np.float32).reshape(weights.shape).copy()
    biases = np.abs(bias.data.view(np.float32).astype(np.float64))
    if len(stored.scales) == len(biases) > 1:
        channels = np.moveaxis(values, stored.channel_axis, 0)
    else:
        channels, biases = values[None], biases.max(keepdims=True)
    least = (_LARGEST_WEIGHT * biases / (float(source.scales[0]) * _LARGEST_BIAS)).astype(np.float32)
    small = [at for at, each in enumerate(channels) if np.abs(each).max() < least[at]]
    for at in small:
        largest = np.unravel_index(np.abs(channels[at]).argmax(), channels[at].shape)
        # A view of `values`.
        channels[at][largest] = np.copysign(least[at], channels[at][largest])
    return values if small else None
