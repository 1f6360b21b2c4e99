from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from edgemeter_converters.tasks import pictures
from edgemeter_converters.tasks.pictures import MAX_PSNR_DB
from edgemeter_protos.v1 import variant_pb2

UNIT = st.floats(0, 1, width=32)


def _random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


def _noisy(one: np.ndarray, deviation: float) -> np.ndarray:
    noise = np.random.default_rng(7).normal(0, deviation, one.shape)
    return np.clip(one + noise, 0, 1).astype(np.float32)


def _waves() -> tuple[np.ndarray, np.ndarray]:
    rows, columns, channels = np.mgrid[0:24, 0:17, 0:3].astype(np.float32)
    one = (0.5 + 0.5 * np.sin(columns * 0.7 + rows * 0.3 + channels)).astype(np.float32)
    other = np.clip(one * 0.8 + 0.1 * np.cos(rows * 1.3), 0, 1).astype(np.float32)
    return one[None], other[None]


def _ssim_as_it_is_written(one: np.ndarray, other: np.ndarray) -> float:
    """Equation 13 at every place, weights and all, with two-dimensional windows: slow."""
    places = np.arange(11) - 5
    window = np.exp(-(places[:, None] ** 2 + places**2) / (2 * 1.5**2))
    window /= window.sum()
    found = []
    height, width, channels = one.shape
    for row in range(height - 10):
        for column in range(width - 10):
            for channel in range(channels):
                x = one[row : row + 11, column : column + 11, channel].astype(np.float64)
                y = other[row : row + 11, column : column + 11, channel].astype(np.float64)
                mean_x, mean_y = (window * x).sum(), (window * y).sum()
                covariance = (window * (x - mean_x) * (y - mean_y)).sum()
                variances = (window * (x - mean_x) ** 2).sum() + (window * (y - mean_y) ** 2).sum()
                found.append(
                    (2 * mean_x * mean_y + 1e-4)
                    * (2 * covariance + 9e-4)
                    / ((mean_x**2 + mean_y**2 + 1e-4) * (variances + 9e-4))
                )
    return float(np.mean(found))


def test_figures_are_tensorflows() -> None:
    one, other = _waves()
    # tf.image.ssim(one, other, 1.0) and tf.image.psnr of TensorFlow 2.21.
    assert pictures.ssim(one, other) == pytest.approx([0.9214577674865723], abs=1e-6)
    assert pictures.psnr(pictures.mse(one, other)) == pytest.approx([17.086292266845703], abs=1e-5)


@pytest.mark.parametrize("shape", [(11, 11, 1), (14, 12, 3)])
def test_ssim_is_what_its_paper_says(shape: tuple[int, int, int]) -> None:
    one = _random(1, 1, *shape)
    other = _noisy(one, 0.2)
    assert pictures.ssim(one, other) == pytest.approx([_ssim_as_it_is_written(one[0], other[0])], abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(
    st_numpy.arrays(np.float32, (2, 12, 13, 1), elements=UNIT),
    st_numpy.arrays(np.float32, (2, 12, 13, 1), elements=UNIT),
)
def test_ssim_is_symmetric_and_at_most_one(one: np.ndarray, other: np.ndarray) -> None:
    there, back = pictures.ssim(one, other), pictures.ssim(other, one)
    assert there is not None
    assert back is not None
    np.testing.assert_allclose(there, back, atol=1e-9)
    assert (np.abs(there) <= 1 + 1e-9).all()
    assert pictures.ssim(one, one) == pytest.approx([1, 1])


def test_ssim_does_not_exist_below_its_window() -> None:
    assert pictures.ssim(_random(0, 2, 10, 30, 1), _random(1, 2, 10, 30, 1)) is None


@given(st.floats(1e-4, 1))
def test_psnr_of_a_constant_difference(difference: float) -> None:
    black, grey = np.zeros((1, 3, 3, 1), np.float32), np.full((1, 3, 3, 1), difference, np.float32)
    assert pictures.psnr(pictures.mse(black, grey)) == pytest.approx([-20 * math.log10(difference)], abs=1e-4)


def test_what_does_not_differ_has_the_most_that_is_told() -> None:
    one = _random(0, 5, 12, 12, 3)
    found = {each.metric: each for each in pictures.fidelity("original", one, one)}
    assert {name: each.value for name, each in found.items()} == pytest.approx(
        {"psnr": MAX_PSNR_DB, "ssim": 1, "mse": 0}
    )
    assert all(math.isfinite(each.ci95_low) and math.isfinite(each.ci95_high) for each in found.values())
    # And rounding in float32 cannot be told from it.
    rounded = np.nextafter(one, np.float32(2))
    assert pictures.fidelity("original", rounded, one)[0].value == MAX_PSNR_DB


def test_more_noise_is_farther() -> None:
    one = _random(0, 3, 16, 16, 3)
    found = [pictures.fidelity("labels", _noisy(one, level), one) for level in (0.01, 0.05, 0.2)]
    for at, sign in enumerate((-1, -1, 1)):
        values = [sign * metrics[at].value for metrics in found]
        assert values == sorted(values)
    assert [each.lower_is_better for each in found[0]] == [False, False, True]
    # Noise of 0.01 has an mse of 1e-4, if few pixels are cut.
    assert found[0][0].value == pytest.approx(40, abs=0.3)


@pytest.mark.parametrize(
    ("range_", "black", "white"), [("unit", 0.0, 1.0), ("symmetric", -1.0, 1.0), ("byte", 0.0, 255.0)]
)
def test_ranges_give_the_same_pictures(range_: str, black: float, white: float) -> None:
    values = _random(0, 2, 5, 4, 3)
    scaled = values * np.float32(white - black) + np.float32(black)
    np.testing.assert_allclose(pictures.from_outputs(scaled, range_, "the outputs"), values, atol=1e-6)


def test_what_no_screen_shows_is_cut() -> None:
    values = np.array([-3, 0.5, 7], np.float32).reshape(1, 1, 3, 1)
    assert pictures.from_outputs(values, "unit", "the outputs").ravel().tolist() == [0, 0.5, 1]


def test_bytes_are_bytes_whatever_the_outputs_range() -> None:
    labels = np.array([0, 51, 255], np.uint8).reshape(1, 1, 3, 1)
    assert pictures.from_labels(labels, "symmetric").ravel() == pytest.approx([0, 0.2, 1])
    assert pictures.from_labels(labels.astype(np.float32) / 255, "symmetric").ravel() == pytest.approx(
        [0.5, 0.6, 1]
    )


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        pytest.param((2, 8, 9, 3), (2, 8, 9, 3), id="channels last"),
        pytest.param((2, 3, 8, 9), (2, 8, 9, 3), id="channels first"),
        pytest.param((2, 1, 8, 9), (2, 8, 9, 1), id="grey, channels first"),
        pytest.param((2, 3, 8, 3), (2, 3, 8, 3), id="either: last, which is the more usual"),
    ],
)
def test_layouts(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    values = _random(0, *shape)
    found = pictures.from_outputs(values, "unit", "the outputs")
    assert found.shape == expected
    assert found[1, 2, 4, 0] == (values[1, 2, 4, 0] if shape == expected else values[1, 0, 2, 4])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((2, 8, 8)), r"the outputs have shape \(2, 8, 8\), wanted pictures"),
        (np.ones((2, 8, 8, 2)), r"shape \(2, 8, 8, 2\), wanted pictures"),
        (np.ones((0, 8, 8, 3)), r"shape \(0, 8, 8, 3\), wanted pictures"),
        (np.full((1, 2, 2, 1), np.nan), "the outputs hold values that are not numbers"),
    ],
)
def test_no_pictures(values: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pictures.from_outputs(values, "unit", "the outputs")


@pytest.mark.parametrize(
    ("low", "high", "range_", "message"),
    [
        (0, 1, "unit", ""),
        # A last layer without a bound.
        (-0.04, 1.04, "unit", ""),
        (-1, 1, "symmetric", ""),
        (0, 255, "byte", ""),
        # Nothing in the values speaks against it: lighter pictures exist.
        (0, 1, "symmetric", ""),
        (-1, 1, "unit", r"from -1 to 1, task wants 0 to 1: name the range .* symmetric \(-1 to 1\)"),
        (0, 255, "unit", r"from 0 to 255, task wants 0 to 1: .* byte \(0 to 255\)"),
        (0, 255, "symmetric", "task wants -1 to 1"),
        (0, 1, "byte", r"from 0 to 1, task wants 0 to 255: .* unit \(0 to 1\)"),
    ],
)
def test_range_that_values_speak_against(low: float, high: float, range_: str, message: str) -> None:
    values = np.linspace(low, high, 200)
    if not message:
        pictures.check_range(values, range_, "task")
        return
    with pytest.raises(ValueError, match=message):
        pictures.check_range(values, range_, "task")


@pytest.mark.parametrize(
    ("dtype", "shape", "fits"),
    [
        ("uint8", (28, 28, 1), True),
        ("float32", (3, 64, 64), True),
        ("float32", (28, 28), False),
        ("int64", (28, 28, 1), False),
        ("uint16", (28, 28, 1), False),
        ("int64", (), False),
    ],
)
def test_labels_that_are_pictures(dtype: str, shape: tuple[int, ...], fits: bool) -> None:
    misfit = pictures.labels_misfit(variant_pb2.TensorSpec(dtype=dtype, shape=shape), "super-resolution")
    assert (misfit == "") is fits
    assert fits or "super-resolution wants pictures" in misfit
