"""The net behind `fid_fashion` on the real pictures that it was trained with, and others of their kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgemeter_converters.tasks import picture_features
from edgemeter_converters.tasks.frechet import frechet_distance
from edgemeter_converters.zoo import fashion


@pytest.fixture(scope="module")
def data() -> Mapping[str, NDArray[Any]]:
    return fashion.arrays(training=10_000)


@pytest.fixture(scope="module")
def pictures(data: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    return np.asarray(data["x_test"] / np.float32(255))


@pytest.fixture(scope="module")
def evaluation(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    return picture_features.features(pictures)


def test_it_knows_what_it_sees(data: Mapping[str, NDArray[Any]], evaluation: NDArray[np.float32]) -> None:
    weights = Path(picture_features.__file__).with_suffix(".npz")
    assert weights.stat().st_size < 60_000
    with np.load(weights) as arrays:
        scores = evaluation @ arrays["head_kernel"] + arrays["head_bias"]
    assert np.mean(scores.argmax(axis=1) == data["y_test"]) == pytest.approx(0.889, abs=5e-4)


def test_its_features_are_of_one_scale(
    data: Mapping[str, NDArray[Any]], evaluation: NDArray[np.float32]
) -> None:
    training = picture_features.features(data["x_train"] / np.float32(255))
    np.testing.assert_allclose(training.std(axis=0), 1, atol=0.03)
    # As documented: what is left between many pictures of one kind, and between fewer.
    assert frechet_distance(training, evaluation) == pytest.approx(0.017, abs=0.002)
    assert frechet_distance(training[:1000], evaluation[:1000]) == pytest.approx(0.27, abs=0.02)


@pytest.mark.parametrize(("noise", "distance"), [(0.02, 0.83), (0.05, 5.0), (0.1, 15.2), (0.2, 30.2)])
def test_distances_of_noise_are_those_documented(
    pictures: NDArray[np.float32], evaluation: NDArray[np.float32], noise: float, distance: float
) -> None:
    real = pictures[:1000]
    noisy = np.clip(real + np.random.default_rng(0).normal(0, noise, real.shape), 0, 1)
    found = frechet_distance(picture_features.features(noisy), evaluation[:1000])
    assert found == pytest.approx(distance, rel=0.05)


def test_distance_between_kinds_of_clothes(
    data: Mapping[str, NDArray[Any]], evaluation: NDArray[np.float32]
) -> None:
    shirts, trousers = (evaluation[data["y_test"] == each] for each in (0, 1))
    assert frechet_distance(shirts, trousers) == pytest.approx(50, abs=1)
