from __future__ import annotations

import numpy as np
import pytest

from edgemeter_converters.tasks.decoders import HEADS, MAX_BOXES, Settings
from edgemeter_converters.tasks.decoders.centernet import peaks

HEAD = HEADS["centernet"].make(Settings())


def test_a_peak_and_its_sides() -> None:
    heat = np.zeros((2, 16, 32, 3), np.float32)
    sides = np.zeros((2, 16, 32, 4), np.float32)
    heat[1, 4, 8, 2] = 0.75
    heat[1, 4, 9, 2] = 0.5  # beside it: not a peak
    heat[1, 4, 9, 0] = 0.25  # of another class: one
    sides[1, 4, 8] = [8, 4, 16, 12]  # left, top, right, bottom, pixels of 64 x 128
    sides[1, 4, 9] = [4, 4, 4, 4]
    found = HEAD.decode([heat, sides])
    assert found.pictures.tolist() == [1, 1]
    assert found.classes.tolist() == [2, 0]
    assert found.scores.tolist() == [0.75, 0.25]
    # The cell (4, 8) is the pixel (16, 32).
    assert found.corners[0].tolist() == [12 / 64, 24 / 128, 28 / 64, 48 / 128]
    assert HEAD.decode([sides, heat]).corners.tolist() == found.corners.tolist()


def test_no_more_than_the_best_hundred() -> None:
    heat = np.zeros((1, 64, 64, 1), np.float32)
    heat[0, ::4, ::4, 0] = np.random.default_rng(0).uniform(0.1, 0.9, (16, 16))
    found = HEAD.decode([heat, np.full((1, 64, 64, 4), 2, np.float32)])
    assert found.scores.tolist() == sorted(heat[heat > 0].tolist(), reverse=True)[:MAX_BOXES]


def test_peaks_are_the_max_pool_of_the_whole_map() -> None:
    heat = np.random.default_rng(3).random((9, 7, 4)).round(1)
    padded = np.pad(heat, ((1, 1), (1, 1), (0, 0)), constant_values=-1)
    pooled = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1)).max(axis=(-2, -1))
    expected = np.nonzero((heat == pooled) & (heat >= 0.2))
    assert [each.tolist() for each in peaks(heat, 0.2)] == [each.tolist() for each in expected]


def test_a_heat_map_without_its_sigmoid() -> None:
    with pytest.raises(ValueError, match="from 0 to 7: centernet wants it after its sigmoid"):
        HEAD.decode([np.array([[[[0.0, 7.0]]]]), np.zeros((1, 1, 1, 4))])


@pytest.mark.parametrize(
    ("shapes", "classes", "fits"),
    [
        ([(-1, 128, 128, 80), (-1, 128, 128, 4)], 80, True),
        ([(-1, 128, 128, 4), (-1, 128, 128, 80)], None, True),
        ([(-1, 128, 128, 4), (-1, 128, 128, 4)], 4, True),
        pytest.param([(-1, 128, 128, 80), (-1, 128, 128, 4)], 20, False, id="other classes"),
        pytest.param([(-1, 128, 128, 80), (-1, 64, 64, 4)], None, False, id="other grids"),
        pytest.param([(-1, 128, 128, 80), (-1, 128, 128, 2)], None, False, id="sizes and no sides"),
        pytest.param([(-1, 100, 6)], None, False, id="decoded"),
    ],
)
def test_misfit(shapes: list[tuple[int, ...]], classes: int | None, fits: bool) -> None:
    head = HEADS["centernet"].make(Settings(classes=classes))
    assert (head.misfit(shapes) == "") is fits
    if fits:
        assert head.classes(shapes) == (classes or 80)
