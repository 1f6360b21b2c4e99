from __future__ import annotations

import numpy as np
import pytest

from edgemeter_converters.training.spread import LEAST_SHARE, variances

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("axis", "shape"), [(-1, (1, 1, 1, 3)), (1, (1, 3, 1, 1))])
def test_each_channel_by_its_own(axis: int, shape: tuple[int, ...]) -> None:
    values = RNG.normal(size=(500, 4, 4, 3)) * [1.0, 2.0, 4.0]
    found = variances(np.moveaxis(values, -1, axis).astype(np.float32), axis)
    assert found.shape == shape
    np.testing.assert_allclose(found.reshape(-1), [1.0, 4.0, 16.0], rtol=0.05)


def test_what_hardly_changes_weighs_no_more_than_a_bound() -> None:
    values = np.stack([RNG.normal(size=1000), np.full(1000, 3.0)], axis=1)
    found = variances(values, -1).reshape(-1)
    assert found[1] == pytest.approx(LEAST_SHARE * values.var())
    assert found[0] == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("shape", [(8, 5), (100,), (1, 1000)])
def test_too_few_values_of_a_channel_are_taken_together(shape: tuple[int, ...]) -> None:
    values = RNG.normal(size=shape)
    found = variances(values, -1)
    assert found.size == 1
    assert found.item() == pytest.approx(values.var())


@pytest.mark.parametrize("constant", [0.0, 7.0])
def test_a_constant_output_has_something_to_divide_by(constant: float) -> None:
    assert (variances(np.full((64, 10), constant), -1) > 0).all()
