from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_converters.formats.quantization import restore, store
from edgemeter_converters.formats.tolerance import largest_difference, tolerance
from edgemeter_converters.steps import Precision
from edgemeter_protos.v1 import variant_pb2

PROBABILITIES = np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32)


@pytest.mark.parametrize(
    ("precision", "steps", "disagreement", "absolute"),
    [
        pytest.param(Precision.FLOAT32, [], 0.0, 0.9e-5, id="float32: floor"),
        pytest.param(Precision.FLOAT32, [], 1e-4, 3e-4, id="float32: three times what was seen"),
        pytest.param(Precision.FLOAT32, [], 0.5, 0.9e-3, id="float32: ceiling"),
        pytest.param(Precision.INT8, [1 / 256], 0.0, 2 / 256, id="int8: two steps"),
        pytest.param(Precision.INT8, [1 / 256], 4 / 256, 12 / 256, id="int8: three times what was seen"),
        pytest.param(Precision.INT8, [1 / 256], 0.5, 0.09, id="int8: a tenth of the range at most"),
        pytest.param(Precision.INT8, [0.2], 0.0, 0.4, id="int8: never less than two steps"),
        pytest.param(Precision.INT16X8, [2**-15], 0.0, 64 * 2**-15, id="int16x8: 64 steps"),
        pytest.param(Precision.DYNAMIC_INT8, [], 0.0, 0.9e-2, id="dynamic: floor"),
    ],
)
def test_tolerance(precision: Precision, steps: list[float], disagreement: float, absolute: float) -> None:
    allowed = tolerance(precision, [PROBABILITIES], steps, disagreement)
    assert allowed.absolute == pytest.approx(absolute, rel=1e-6)


@given(st.sampled_from(Precision), st.floats(0, 1e6), st.floats(1e-6, 1e6))
def test_chance_is_never_within_tolerance(precision: Precision, disagreement: float, scale: float) -> None:
    # A wrong artifact gives another class the score: off by the outputs' own extent.
    golden = PROBABILITIES * np.float32(scale)
    allowed = tolerance(precision, [golden], [scale / 256], disagreement)
    wrong = golden[:, ::-1]
    assert (np.abs(wrong - golden) > allowed.absolute + allowed.relative * np.abs(golden)).any()


@pytest.mark.parametrize("precision", Precision)
def test_outputs_of_zero_have_a_tolerance_too(precision: Precision) -> None:
    assert tolerance(precision, [np.zeros((4, 2))], [], 0.0).absolute > 0


def test_largest_difference_is_over_all_outputs() -> None:
    first = [np.zeros((2, 2)), np.zeros((2, 1))]
    second = [np.full((2, 2), 0.5), np.array([[0.0], [-3.0]])]
    assert largest_difference(first, second) == 3.0
    assert largest_difference([np.zeros((0, 2))], [np.zeros((0, 2))]) == 0.0


def spec(dtype: str, scale: float = 0.0, zero_point: int = 0) -> variant_pb2.TensorSpec:
    quantization = variant_pb2.AffineQuantization(scale=scale, zero_point=zero_point) if scale else None
    return variant_pb2.TensorSpec(dtype=dtype, shape=(1, 1), quantization=quantization)


@given(
    st.sampled_from(["int8", "uint8", "int16"]),
    st.floats(1e-4, 1e2),
    st.integers(0, 127),
    st.lists(st.floats(-1e3, 1e3), min_size=1),
)
def test_stored_numbers_come_back_within_half_a_step(
    dtype: str, scale: float, zero_point: int, reals: list[float]
) -> None:
    place, limits = spec(dtype, scale, zero_point), np.iinfo(dtype)
    low, high = (limits.min - zero_point) * scale, (limits.max - zero_point) * scale
    saturated = np.clip(np.array(reals), low, high)
    back = restore(store(np.array(reals), place), place)
    np.testing.assert_allclose(back, saturated, atol=scale / 2 * 1.001, rtol=1e-6)


def test_floats_are_only_cast() -> None:
    pixels = np.array([[0, 255]], dtype=np.uint8)
    assert store(pixels, spec("float32")).tolist() == [[0.0, 255.0]]
    assert store(pixels, spec("float32")).dtype == np.float32


def test_int8_as_written_by_hand() -> None:
    place = spec("int8", 0.5, -128)
    assert store(np.array([0.0, 1.0, 127.5, 1000.0, -3.0]), place).tolist() == [-128, -126, 127, 127, -128]
    assert restore(np.array([-128, 127], dtype=np.int8), place).tolist() == [0.0, 127.5]
