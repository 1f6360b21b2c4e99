"""Small ONNX models made by hand, node by node."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def constant(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def value(name: str, shape: list[int | str], kind: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def model(
    nodes: list[Any],
    inputs: list[Any],
    outputs: list[Any],
    weights: dict[str, NDArray[Any]],
    *,
    opset: int = 17,
    ir_version: int = 8,
) -> Any:
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "made", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def convolutional(*, batch: int | str = "batch", opset: int = 17) -> Any:
    """Convolution, a residual addition of what its activation and a depthwise convolution give, a head; 10
    x 10 x 3 in, four scores out. 2,020 multiply-accumulates of 3 x 3 kernels and more."""
    nodes = [
        helper.make_node("Conv", ["image", "stem.w", "stem.b"], ["stem"], name="stem", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["stem"], ["active"], name="relu"),
        helper.make_node("Conv", ["active", "depth.w"], ["depth"], name="depth", group=8, pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["active", "depth"], ["sum"], name="add"),
        helper.make_node("GlobalAveragePool", ["sum"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "head.w", "head.b"], ["scores"], name="head", transB=1),
    ]
    weights = {
        "stem.w": constant(1, 8, 3, 3, 3) * 0.3,
        "stem.b": constant(2, 8) * 0.1,
        "depth.w": constant(3, 8, 1, 3, 3) * 0.3,
        "head.w": constant(4, 4, 8),
        "head.b": constant(5, 4),
    }
    inputs, outputs = [value("image", [batch, 3, 10, 10])], [value("scores", [batch, 4])]
    return model(nodes, inputs, outputs, weights, opset=opset)


CONVOLUTIONAL_MACS = 10 * 10 * (8 * 3 * 9 + 8 * 9) + 4 * 8
CONVOLUTIONAL_WEIGHTS = 8 * 27 + 8 + 8 * 9 + 4 * 8 + 4


def images(count: int) -> NDArray[np.float32]:
    return np.random.RandomState(9).standard_normal((count, 3, 10, 10)).astype(np.float32)


def written(made: Any) -> bytes:
    content: bytes = made.SerializeToString()
    onnx.checker.check_model(made)
    return content
