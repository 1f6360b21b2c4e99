"""Weights may lie behind the flatbuffer, in the same file."""

from __future__ import annotations

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgemeter_converters.models import tflite_graph, tflite_weights

WEIGHTS = np.array([1.5, 0, -2, 0, 3], dtype=np.float32)


def packed(*, offset: int, size: int, data: bytes = b"") -> bytes:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = b"w", [5], schema.TensorType.FLOAT32, 1
    graph = schema.SubGraphT()
    graph.tensors, graph.inputs, graph.outputs, graph.operators = [tensor], [], [], []
    buffer = schema.BufferT()
    buffer.offset, buffer.size = offset, size
    if data:
        buffer.data = np.frombuffer(data, dtype=np.uint8)
    model = schema.ModelT()
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], []
    model.buffers = [schema.BufferT(), buffer]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def behind() -> bytes:
    """A file whose weights stand after its flatbuffer."""
    length = len(packed(offset=1 << 20, size=WEIGHTS.nbytes))
    return packed(offset=length, size=WEIGHTS.nbytes) + WEIGHTS.tobytes()


@pytest.mark.parametrize(
    "content",
    [packed(offset=0, size=0, data=WEIGHTS.tobytes()), behind()],
    ids=["in the flatbuffer", "behind it"],
)
def test_weights_are_counted_wherever_they_are(content: bytes) -> None:
    graphs = tflite_graph.read(content)
    assert tflite_weights.count(graphs) == (5, 3)
    np.testing.assert_array_equal(tflite_weights.values(graphs[0].tensors[0]), WEIGHTS)


def test_a_file_that_gets_a_signature_takes_its_weights_along() -> None:
    named = tflite_graph.with_signature(behind())
    assert tflite_weights.count(tflite_graph.read(named)) == (5, 3)
