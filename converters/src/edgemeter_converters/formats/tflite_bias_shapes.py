"""Biases of one dimension, which other tools write with more.

litert-torch folds a normalization behind a transposed convolution into a bias of (1, 1, 1, channels). XNNPACK
does not take such an op, and LiteRT's own kernel is many times slower; ai-edge-quantizer counts its channels
along the first dimension, and writes a file that no runtime loads.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

_PLACES = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "CONV_3D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3}
"""Of the bias, among an op's inputs."""

_SHAPE_SLOT = 4
"""The shape's place in a tensor's table: its first field (schema.fbs)."""


def flattened(content: bytes) -> bytes:
    """The file with each bias of more dimensions written as a vector."""
    from ai_edge_litert import schema_py_generated as schema

    changed = bytearray(content)
    model = schema.Model.GetRootAsModel(changed, 0)
    places = {getattr(schema.BuiltinOperator, kind): place for kind, place in _PLACES.items()}
    codes = [model.OperatorCodes(at).BuiltinCode() for at in range(model.OperatorCodesLength())]
    for graph in (model.Subgraphs(at) for at in range(model.SubgraphsLength())):
        for op in (graph.Operators(at) for at in range(graph.OperatorsLength())):
            place = places.get(codes[op.OpcodeIndex()])
            if place is not None and op.InputsLength() > place and op.Inputs(place) >= 0:
                _flatten(changed, graph.Tensors(op.Inputs(place)))
    return bytes(changed)


def _flatten(changed: bytearray, tensor: Any) -> None:
    if tensor.ShapeLength() < 2:
        return
    shape = tensor.ShapeAsNumpy()
    elements = int(np.prod(shape))
    if elements != shape.max():
        return
    # A flatbuffer's vector is its length, then its elements: it may be shortened where it stands.
    table = tensor._tab
    start = table.Vector(table.Offset(_SHAPE_SLOT))
    shape[0] = elements
    struct.pack_into("<I", changed, start - 4, 1)
