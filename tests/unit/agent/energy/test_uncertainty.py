from __future__ import annotations

import math

import numpy as np
import pytest

from edgemeter_agent.energy.uncertainty import (
    Part,
    batch_means,
    combined,
    half_width_95,
    rectangular,
    repeats,
    resolution_mw,
)


def test_parts_add_in_squares() -> None:
    assert combined([Part(3.0), Part(4.0)]).u == pytest.approx(5.0)
    assert math.isinf(combined([Part(3.0), Part(4.0)]).freedom)


def test_degrees_of_freedom_are_welch_and_satterthwaites() -> None:
    """GUM H.1.6: u² = 32², from parts of 25 (18 degrees), 9.7 (25.6), 2.9 (50), 16.6 (2), and the rest 0."""
    total = combined([Part(25, 18), Part(9.7, 25.6), Part(2.9, 50), Part(16.6, 2)])
    assert total.u == pytest.approx(31.7, abs=0.1)
    assert total.freedom == pytest.approx(16.7, abs=1.0)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        # Nothing was repeated: the normal distribution.
        ({"gain": Part(1.0)}, 1.96),
        # Five windows alone: t with 4 degrees of freedom.
        ({"repeats": Part(1.0, 4)}, 2.7764),
        ({"repeats": Part(1.0, 1)}, 12.7062),
        # A gain that outweighs them: hardly any widening.
        ({"gain": Part(10.0), "repeats": Part(1.0, 4)}, 1.96 * math.sqrt(101)),
        ({}, 0.0),
    ],
)
def test_an_interval_is_as_wide_as_its_degrees_of_freedom_make_it(
    parts: dict[str, Part], expected: float
) -> None:
    assert half_width_95(parts) == pytest.approx(expected, rel=1e-3)


def test_a_quiet_reading_is_wrong_by_its_step_however_often_it_is_read() -> None:
    quiet = [np.full(500, 8040.0)] * 5
    assert resolution_mw(40, quiet) == pytest.approx(40 / math.sqrt(12), rel=0.01)


def test_noise_over_steps_averages_rounding_out() -> None:
    random = np.random.default_rng(1)
    noisy = [np.round(random.normal(8000, 40, 500) / 40) * 40 for _ in range(5)]
    assert resolution_mw(40, noisy) < 40 / math.sqrt(12) / 20


@pytest.mark.parametrize("noise_steps", [0.0, 0.1, 0.2, 0.3, 0.5, 1.0])
def test_the_rounding_error_is_what_it_is_said_to_be(noise_steps: float) -> None:
    """Root mean square over many true values, against the stated one: never far too small."""
    random = np.random.default_rng(2)
    errors, stated = [], []
    for _ in range(400):
        true = random.uniform(8000, 9000)
        readings = np.round((true + random.normal(0, noise_steps * 40, 500)) / 40) * 40
        errors.append(readings.mean() - true)
        stated.append(resolution_mw(40, [readings]))
    noise = noise_steps * 40 / math.sqrt(500)
    error = math.sqrt(max(float(np.mean(np.square(errors))) - noise**2, 0))
    assert error <= 1.1 * math.sqrt(float(np.mean(np.square(stated)))) + 0.1
    assert math.sqrt(float(np.mean(np.square(stated)))) <= 40 / math.sqrt(12) * 1.05


@pytest.mark.parametrize(("step", "readings"), [(0.0, [np.ones(5)]), (40.0, []), (40.0, [np.zeros(0)])])
def test_no_step_or_no_reading_is_no_uncertainty(step: float, readings: list[np.ndarray]) -> None:
    assert resolution_mw(step, readings) == 0.0


def test_repeats_are_the_standard_error_of_the_mean() -> None:
    energies, inferences = [100.0, 104.0, 98.0, 101.0, 97.0], [10.0] * 5
    expected = np.std(np.array(energies) / 10, ddof=1) / math.sqrt(5)
    part = repeats(energies, inferences)
    assert part.u == pytest.approx(expected)
    assert part.freedom == 4


def test_windows_that_differ_in_length_only_do_not_differ() -> None:
    assert repeats([100.0, 200.0, 50.0], [10.0, 20.0, 5.0]).u == pytest.approx(0.0)


def test_one_window_says_nothing_of_repeats() -> None:
    with pytest.raises(ValueError, match="two"):
        repeats([1.0], [1.0])


def test_batch_means_see_that_neighbours_are_alike() -> None:
    random = np.random.default_rng(3)
    white = random.normal(0, 1, 5000)
    slow = np.repeat(random.normal(0, 1, 50), 100)
    assert batch_means(white).u < 0.05
    assert batch_means(slow).u > 0.05
    assert batch_means(np.arange(9.0)).u == 0.0


def test_a_rectangle_is_as_wide_as_it_is() -> None:
    assert rectangular(-12) == pytest.approx(12 / math.sqrt(12))
