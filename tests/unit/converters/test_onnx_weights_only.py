from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_converters.formats.onnx_weights_only import encode, packed


@given(
    rows=st.integers(1, 70),
    columns=st.integers(1, 5),
    block=st.sampled_from([0, 1, 32, 70]),
    axis=st.integers(0, 1),
    limit=st.sampled_from([7, 127]),
    seed=st.integers(0, 99),
)
def test_integers_times_scales_are_the_weights_to_half_a_step(
    rows: int, columns: int, block: int, axis: int, limit: int, seed: int
) -> None:
    values = np.random.RandomState(seed).standard_normal((rows, columns)).astype(np.float32)
    integers, scales = encode(values, axis, block, limit)
    assert (str(integers.dtype), str(scales.dtype)) == ("int8", "float32")
    assert int(np.abs(integers.astype(int)).max()) <= limit
    if block:
        # As DequantizeLinear spreads them.
        spread = np.repeat(scales, block, axis=axis).take(range(values.shape[axis]), axis=axis)
        assert scales.shape[axis] == -(-values.shape[axis] // block)
    else:
        spread = scales.reshape((-1, 1) if axis == 0 else (1, -1))
    assert (np.abs(integers * spread - values) <= spread * 0.5001).all()
    # The largest of each slice or block uses the whole range.
    assert int(np.abs(integers.astype(int)).max()) == limit


def test_zeros_stay_zeros_under_a_scale_that_divides() -> None:
    integers, scales = encode(np.zeros((4, 3), np.float32), 0, 0, 127)
    assert not integers.any()
    np.testing.assert_array_equal(scales, np.ones(4))


@pytest.mark.parametrize(("axis", "shape"), [(0, (6,)), (1, (2,))])
def test_a_scale_for_each_slice(axis: int, shape: tuple[int, ...]) -> None:
    values = np.arange(1, 6 * 2 * 9 + 1, dtype=np.float32).reshape(6, 2, 3, 3)
    _, scales = encode(values, axis, 0, 127)
    assert scales.shape == shape
    expected = values.max(axis=tuple(each for each in range(4) if each != axis)) / 127
    np.testing.assert_allclose(scales, expected, rtol=1e-6)


@given(values=st.lists(st.integers(-8, 7), min_size=1, max_size=9))
def test_four_bits_a_number(values: list[int]) -> None:
    content = packed(np.array(values, np.int8))
    assert len(content) == -(-len(values) // 2)
    halves = [half for byte in content for half in (byte & 0xF, byte >> 4)]
    assert [half - 16 if half > 7 else half for half in halves][: len(values)] == values
