"""Files made of a few tensors: what their ops compute and what they store, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgemeter_converters.models import tflite_anatomy, tflite_weights
from edgemeter_converters.models.model import Anatomy, LayerCount
from edgemeter_converters.models.tflite_graph import Graph, Op, Tensor


def tensor(
    shape: tuple[int, ...],
    dtype: str = "float32",
    data: bytes | None = None,
    *,
    buffer: int = 0,
    scales: tuple[float, ...] = (),
    zero_points: tuple[int, ...] = (),
) -> Tensor:
    return Tensor(
        name="",
        dtype=dtype,
        shape=shape,
        data=None if data is None else np.frombuffer(data, np.uint8),
        buffer=buffer,
        scales=np.asarray(scales, np.float32),
        zero_points=np.asarray(zero_points, np.int64),
        channel_axis=0,
    )


def op(kind: str, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> Op:
    return Op(kind=kind, custom=False, inputs=inputs, outputs=outputs, layer=kind, layers=(kind,))


@pytest.mark.parametrize(
    ("kind", "inputs", "output", "macs"),
    [
        # 8*8 places, 4 filters, each over 3*3 places of 3 channels.
        ("CONV_2D", [(1, 8, 8, 3), (4, 3, 3, 3), (4,)], (1, 8, 8, 4), 8 * 8 * 4 * 27),
        # Two groups of 4 channels: the weights have 2 of them each.
        ("CONV_2D", [(1, 8, 8, 4), (6, 3, 3, 2)], (1, 6, 6, 6), 36 * 6 * 18),
        ("DEPTHWISE_CONV_2D", [(1, 8, 8, 4), (1, 3, 3, 8)], (1, 6, 6, 8), 36 * 8 * 9),
        # Every one of 4*4*8 numbers is spread over 2*2 places of 5 channels.
        ("TRANSPOSE_CONV", [(4,), (5, 2, 2, 8), (1, 4, 4, 8)], (1, 8, 8, 5), 4 * 4 * 8 * 20),
        ("CONV_3D", [(1, 4, 6, 6, 2), (3, 3, 3, 2, 5)], (1, 2, 4, 4, 5), 2 * 4 * 4 * 5 * 54),
        ("FULLY_CONNECTED", [(1, 7, 12), (10, 12)], (1, 7, 10), 7 * 10 * 12),
        ("BATCH_MATMUL", [(4, 7, 5), (4, 5, 9)], (4, 7, 9), 4 * 7 * 9 * 5),
        # The first operand transposed.
        ("BATCH_MATMUL", [(4, 5, 7), (4, 5, 9)], (4, 7, 9), 4 * 7 * 9 * 5),
        # Six steps; four gates over 5 features and 8 units; no projection.
        (
            "UNIDIRECTIONAL_SEQUENCE_LSTM",
            [(1, 6, 5), *[(8, 5)] * 4, *[(8, 8)] * 4, *[()] * 3, *[(8,)] * 4, (), (), (1, 8), (1, 8)],
            (1, 6, 8),
            6 * 4 * (8 * 5 + 8 * 8),
        ),
        ("ADD", [(1, 8), (1, 8)], (1, 8), 0),
    ],
)
def test_macs(kind: str, inputs: list[tuple[int, ...]], output: tuple[int, ...], macs: int) -> None:
    present = [at for at, shape in enumerate(inputs) if shape]
    places = tuple(present.index(at) if shape else -1 for at, shape in enumerate(inputs))
    tensors = [*(tensor(inputs[at]) for at in present), tensor(output)]
    assert tflite_anatomy.op_macs(op(kind, places, (len(present),)), tensors) == macs


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        pytest.param(
            tensor((3,), "float32", np.array([0, 1, -0.0], np.float32).tobytes()), (3, 1), id="floats"
        ),
        pytest.param(
            tensor((2,), "float16", np.array([0, 2], np.float16).tobytes()), (2, 1), id="half precision"
        ),
        pytest.param(tensor((3,), "int8", bytes([0, 1, 255]), scales=(0.1,)), (3, 2), id="int8"),
        pytest.param(
            tensor((3,), "uint8", bytes([128, 0, 3]), scales=(0.1,), zero_points=(128,)),
            (3, 2),
            id="zero is where the zero point is",
        ),
        # 0x21 holds 1, then 2; 0xf0 holds 0, then -1; the last half of a byte is padding.
        pytest.param(tensor((3,), "int4", b"\x21\xf0", scales=(0.1,)), (3, 2), id="two numbers a byte"),
        pytest.param(tensor((2,), "int32", bytes(8)), (0, 0), id="a shape is no weight"),
        pytest.param(tensor((2,), "float32"), (0, 0), id="computed"),
    ],
)
def test_weights(stored: Tensor, expected: tuple[int, int]) -> None:
    assert tflite_weights.count([Graph(tensors=(stored,), ops=(), inputs=(), outputs=())]) == expected


def test_int4_is_signed() -> None:
    values = tflite_weights.values(tensor((4,), "int4", b"\x87\xf1", scales=(1.0,)))
    assert values.tolist() == [7, -8, 1, -1]


def test_a_shared_buffer_counts_once_for_the_first_op_that_uses_it() -> None:
    weights = np.array([[1, 2], [0, 4]], np.float32).tobytes()
    graph = Graph(
        tensors=(
            tensor((1, 2)),
            tensor((2, 2), data=weights, buffer=3),
            tensor((2, 2), data=weights, buffer=3),
            tensor((1, 2)),
            tensor((1, 2)),
        ),
        ops=(op("FULLY_CONNECTED", (0, 1), (3,)), op("FULLY_CONNECTED", (3, 2), (4,))),
        inputs=(0,),
        outputs=(4,),
    )
    assert tflite_anatomy.of_graphs([graph]) == Anatomy(
        macs=8, layers=(LayerCount(kind="FULLY_CONNECTED", count=2, parameters=4),), non_zero_parameters=3
    )


def test_weights_that_are_made_float_again_count_for_the_op_that_uses_them() -> None:
    graph = Graph(
        tensors=(
            tensor((1, 2)),
            tensor((2, 2), "int8", bytes([1, 2, 3, 4]), buffer=3, scales=(0.1,)),
            tensor((2, 2)),
            tensor((1, 2)),
        ),
        ops=(op("DEQUANTIZE", (1,), (2,)), op("FULLY_CONNECTED", (0, 2), (3,))),
        inputs=(0,),
        outputs=(3,),
    )
    assert tflite_anatomy.of_graphs([graph]).layers == (
        LayerCount(kind="FULLY_CONNECTED", count=1, parameters=4),
    )
