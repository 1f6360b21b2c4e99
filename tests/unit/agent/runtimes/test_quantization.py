from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_agent.runtimes.null import NullModel
from edgemeter_agent.runtimes.quantization import to_real, to_stored
from edgemeter_protos.v1 import variant_pb2


def spec(dtype: str, scale: float | None = None, zero_point: int = 0) -> variant_pb2.TensorSpec:
    made = variant_pb2.TensorSpec(name="x", dtype=dtype, shape=[-1])
    if scale is not None:
        made.quantization.CopyFrom(variant_pb2.AffineQuantization(scale=scale, zero_point=zero_point))
    return made


@pytest.mark.parametrize(
    ("real", "tensor", "stored"),
    [
        # real = scale * (stored - zero_point)
        ([0.0, 0.5, 1.0], spec("int8", 1 / 255, -128), [-128, 0, 127]),
        # ties to even
        ([0.5, 1.5, 2.5], spec("int8", 1.0), [0, 2, 2]),
        # clipped to the type
        ([-1e9, 1e9, np.inf], spec("int8", 0.1), [-128, 127, 127]),
        ([-1.0, 40_000.0], spec("int16", 1.0), [-1, 32767]),
        ([-3.0, 300.0], spec("uint8", 1.0, 3), [0, 255]),
    ],
)
def test_quantization(real: list[float], tensor: variant_pb2.TensorSpec, stored: list[int]) -> None:
    given_out = to_stored(np.array(real), tensor)
    assert given_out.dtype == np.dtype(tensor.dtype)
    assert given_out.tolist() == stored


def test_bytes_are_real_values_for_a_quantized_tensor_too() -> None:
    pixels = np.array([0, 128, 255], np.uint8)
    assert to_stored(pixels, spec("uint8", 2.0)).tolist() == [0, 64, 128]
    assert to_stored(pixels, spec("int8", 1.0, -128)).tolist() == [-128, 0, 127]


def test_bytes_become_floats_exactly() -> None:
    pixels = np.arange(256, dtype=np.uint8)
    made = to_stored(pixels, spec("float32"))
    assert made.dtype == np.float32
    assert made.tolist() == list(range(256))


def test_no_integer_stands_for_nan() -> None:
    with pytest.raises(ValueError, match="holds NaN"):
        to_stored(np.array([0.0, np.nan]), spec("int8", 1.0))


@given(
    st.lists(st.integers(-128, 127), min_size=1, max_size=50),
    st.floats(2**-20, 2**10),
    st.integers(-128, 127),
)
def test_what_was_stored_survives_the_way_there_and_back(
    stored: list[int], scale: float, zero_point: int
) -> None:
    tensor = spec("int8", scale, zero_point)
    real = to_real(np.array(stored, np.int8), tensor)
    assert real.dtype == np.float32
    assert to_stored(real, tensor).tolist() == stored


def test_integers_that_stand_for_themselves_are_cast() -> None:
    assert to_real(np.array([1, 2], np.int64), spec("int64")).tolist() == [1.0, 2.0]


def test_the_empty_runtime_takes_nothing_and_gives_nothing() -> None:
    model = NullModel()
    model.prepare([])
    model.query()
    assert model.outputs() == []
    with pytest.raises(ValueError, match="takes no input"):
        model.prepare([np.zeros(1)])
