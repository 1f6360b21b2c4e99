from __future__ import annotations

import numpy as np
import pytest

from edgemeter_converters.comparison import output_error


def test_a_tenth_of_the_amplitude_in_noise_is_20_decibels() -> None:
    original = np.full((4, 5), 10.0)
    error = output_error([original], [original + 1.0])
    assert (error.max_absolute, error.samples) == (1.0, 4)
    assert error.sqnr_db == pytest.approx(20.0)


def test_equal_outputs_have_no_noise_to_compare_with() -> None:
    original = np.arange(6.0).reshape(3, 2)
    error = output_error([original], [original.astype(np.float32)])
    assert error.max_absolute == 0
    assert not error.HasField("sqnr_db")


def test_all_outputs_count() -> None:
    first, second = np.zeros((2, 3)), np.ones((2, 1))
    error = output_error([first, second], [first, second * 3])
    assert error.max_absolute == 2.0
    assert error.sqnr_db == pytest.approx(-6.0206, abs=1e-4)
