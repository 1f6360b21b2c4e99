from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import linalg, signal

from edgemeter_converters.tasks import picture_features
from edgemeter_converters.tasks.frechet import fid, frechet_distance


def _points(seed: int, samples: int = 60, dimensions: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixed = rng.normal(0, 1, (samples, dimensions)) @ rng.normal(0, 1, (dimensions, dimensions))
    return np.asarray(mixed + rng.normal(0, 2, dimensions))


def _blobs(seed: int, samples: int, side: int = 28) -> np.ndarray:
    """Light ellipses on black: (samples, side, side, 1)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:side, 0:side] / side
    centre = rng.uniform(0.3, 0.7, (2, samples, 1, 1))
    radius = rng.uniform(0.1, 0.4, (2, samples, 1, 1))
    inside = ((rows - centre[0]) / radius[0]) ** 2 + ((columns - centre[1]) / radius[1]) ** 2 < 1
    return np.asarray((inside * rng.uniform(0.4, 1, (samples, 1, 1)))[..., None], np.float32)


@given(st.integers(0, 2**32 - 1))
def test_distance_is_that_of_scipys_matrix_root(seed: int) -> None:
    x, y = _points(seed), _points(seed + 1)
    of_x, of_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = linalg.sqrtm(of_x @ of_y).real
    expected = ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum() + np.trace(of_x + of_y - 2 * root)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(y, x) == pytest.approx(expected, rel=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_distance_to_itself_is_none(seed: int) -> None:
    x = _points(seed)
    # Of a matrix's root: an eigenvalue that is 0 but for rounding, 1e-16, has a root of 1e-8.
    nothing = 1e-6 * float(np.trace(np.cov(x, rowvar=False)))
    assert frechet_distance(x, x) == pytest.approx(0, abs=nothing)
    assert frechet_distance(x, np.random.default_rng(seed).permutation(x)) == pytest.approx(0, abs=nothing)


def test_distance_by_hand() -> None:
    # Variances 1 and 4 without covariance, means 3 apart: 9 + (1 - 2)² for each of two dimensions.
    square = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]]) * np.sqrt(3) / 2
    assert frechet_distance(square, 2 * square + [3, 0]) == pytest.approx(9 + 1 + 1)


def test_distance_without_full_rank() -> None:
    """A feature that is always 0, as of a channel that sees nothing."""
    x = _points(0)
    x[:, 2] = 0
    assert frechet_distance(x, x + 1) == pytest.approx(6)


def test_resizing_is_pillows() -> None:
    picture = np.random.default_rng(0).random((1, 50, 17, 1), np.float32)
    pillow = Image.fromarray(picture[0, ..., 0]).resize((28, 28), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(picture_features.seen(picture)[0], np.asarray(pillow), atol=1e-5)


def test_pictures_of_the_nets_own_size_stay() -> None:
    picture = np.random.default_rng(0).random((2, 28, 28, 1), np.float32)
    np.testing.assert_allclose(picture_features.seen(picture), picture[..., 0], atol=1e-7)


def test_grey_in_three_channels_is_grey() -> None:
    grey = _blobs(0, 3, side=40)
    np.testing.assert_allclose(
        picture_features.features(np.repeat(grey, 3, axis=3)), picture_features.features(grey), atol=1e-4
    )


def test_net_is_what_it_says() -> None:
    """Against convolutions by scipy, one channel at a time."""
    path = picture_features.__file__.replace(".py", ".npz")
    with np.load(path) as arrays:
        weights = {name: arrays[name].astype(np.float64) for name in arrays.files}
    picture = _blobs(1, 1)
    x = picture[0].astype(np.float64)
    for at, stride in enumerate((2, 2, 1)):
        kernel, bias = weights[f"kernel_{at}"], weights[f"bias_{at}"]
        made = [
            sum(
                signal.correlate2d(x[..., channel], kernel[..., channel, out], mode="same")
                for channel in range(x.shape[-1])
            )
            + bias[out]
            for out in range(len(bias))
        ]
        x = np.maximum(np.stack(made, axis=-1)[::stride, ::stride], 0)
    expected = x.mean(axis=(0, 1))
    np.testing.assert_allclose(picture_features.features(picture)[0], expected, rtol=1e-4, atol=1e-4)
    assert len(expected) == picture_features.DIMENSIONS


def test_features_do_not_depend_on_how_many_are_asked_for_at_once() -> None:
    many = _blobs(2, 300)
    np.testing.assert_allclose(
        picture_features.features(many)[298:], picture_features.features(many[298:]), atol=1e-5
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fid_of_the_same_pictures_is_none_and_grows_with_noise(seed: int) -> None:
    real = _blobs(seed, 64)
    noise = np.random.default_rng(seed).normal(0, 1, real.shape)
    found = []
    for level in (0, 0.03, 0.1, 0.3):
        one = fid("original", np.clip(real + level * noise, 0, 1).astype(np.float32), real)
        assert one is not None
        found.append(one.value)
    assert found[0] == pytest.approx(0, abs=1e-3)
    assert found[1] > 0.1
    assert found == sorted(found)


def test_fid_needs_more_pictures_than_features() -> None:
    few, many = _blobs(0, picture_features.DIMENSIONS), _blobs(1, picture_features.DIMENSIONS + 1)
    assert fid("labels", few, many) is None
    assert fid("labels", many, few) is None
    found = fid("labels", many, _blobs(2, 100, side=40))
    assert found is not None
    assert (found.metric, found.against, found.lower_is_better) == ("fid_fashion", "labels", True)
    assert found.samples == len(many)
    assert not found.HasField("ci95_low")
