"""Weights may lie behind the flatbuffer, in the same file."""

from __future__ import annotations

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgemeter_converters.models import tflite_graph, tflite_packing, tflite_weights

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
    named = tflite_packing.with_signature(behind())
    assert tflite_weights.count(tflite_graph.read(named)) == (5, 3)


def quantized(channels: int) -> bytes:
    """Two tensors with equal scales and zero points, one a channel, and constants of their own."""
    tensors: list[schema.TensorT] = []
    for name in (b"weights", b"bias"):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name, [channels], schema.TensorType.INT8
        tensor.buffer = len(tensors) + 1
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = np.linspace(0.5, 1, channels, dtype=np.float32)
        tensor.quantization.zeroPoint = np.zeros(channels, dtype=np.int64)
        tensors.append(tensor)
    graph = schema.SubGraphT()
    graph.tensors, graph.inputs, graph.outputs, graph.operators = tensors, np.array([0]), np.array([0]), []
    buffers = [schema.BufferT() for _ in range(3)]
    for seed, buffer in enumerate(buffers[1:]):
        buffer.data = np.random.default_rng(seed).integers(0, 256, channels, dtype=np.uint8)
    model = schema.ModelT()
    model.version, model.subgraphs, model.operatorCodes, model.buffers = 3, [graph], [], buffers
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("channels", [1, 7, 64, 321])
def test_equal_vectors_are_written_once_and_nothing_else_changes(channels: int) -> None:
    content = quantized(channels)
    repacked = tflite_packing.repacked(content)
    # One copy of scales and zero points less; constants may be moved by their alignment.
    assert len(repacked) <= len(content) - channels * 12 + 48
    for before, after in zip(
        tflite_graph.read(content)[0].tensors, tflite_graph.read(repacked)[0].tensors, strict=True
    ):
        assert (before.name, before.dtype, before.shape) == (after.name, after.dtype, after.shape)
        np.testing.assert_array_equal(before.scales, after.scales)
        np.testing.assert_array_equal(before.zero_points, after.zero_points)
        np.testing.assert_array_equal(before.data, after.data)
    assert tflite_packing.repacked(repacked) == repacked


@pytest.mark.parametrize("channels", [1, 7, 64, 321])
def test_constants_stand_where_kernels_can_load_them(channels: int) -> None:
    content = tflite_packing.repacked(quantized(channels))
    for seed in range(2):
        constant = np.random.default_rng(seed).integers(0, 256, channels, dtype=np.uint8).tobytes()
        assert any(at % 16 == 0 for at in range(len(content)) if content[at : at + channels] == constant), (
            "schema.fbs asks for 16 bytes"
        )


def test_the_places_of_inputs_are_not_shared_with_those_of_outputs() -> None:
    """They may be changed where they stand."""
    content = bytearray(tflite_packing.repacked(quantized(4)))
    graph = schema.Model.GetRootAsModel(content, 0).Subgraphs(0)
    graph.InputsAsNumpy()[:] = [1]
    assert graph.OutputsAsNumpy().tolist() == [0]
