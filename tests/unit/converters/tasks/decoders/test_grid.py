from __future__ import annotations

import numpy as np
import pytest

from edgemeter_converters.tasks.decoders import HEADS, Settings

HEAD = HEADS["grid"].make(Settings(classes=3))


def logit(share: float) -> float:
    return float(np.log(share / (1 - share)))


def test_a_cell_with_an_object() -> None:
    cells = np.zeros((2, 4, 8, 8), np.float32)
    cells[..., 0] = -20
    cells[1, 2, 5] = [logit(0.9), logit(0.25), logit(0.5), logit(0.3), logit(0.2), 0, 30, 0]
    found = HEAD.decode([cells])
    assert (found.pictures.tolist(), found.classes.tolist()) == ([1], [1])
    assert found.scores == pytest.approx([0.9])
    y, x = (2 + 0.25) / 4, (5 + 0.5) / 8
    assert found.corners[0] == pytest.approx([y - 0.15, x - 0.1, y + 0.15, x + 0.1])


def test_a_score_is_objectness_times_the_class() -> None:
    cells = np.full((1, 1, 1, 8), 0.0, np.float32)
    assert HEAD.decode([cells]).scores == pytest.approx([0.5 / 3])


def test_two_cells_that_find_the_same() -> None:
    cells = np.zeros((1, 1, 2, 8), np.float32)
    cells[..., 5] = 20
    cells[0, 0, 0, :5] = [2, 0, 20, 1, 1]  # its right edge
    cells[0, 0, 1, :5] = [1, 0, -20, 1, 1]  # its left edge: the same point
    assert HEAD.decode([cells]).scores == pytest.approx([1 / (1 + np.exp(-2))])
    cells[0, 0, 1, 6] = 40
    assert HEAD.decode([cells]).classes.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("shape", "classes", "fits"),
    [
        ((-1, 12, 12, 15), 10, True),
        ((-1, 12, 12, 15), None, True),
        pytest.param((-1, 12, 12, 15), 9, False, id="other classes"),
        pytest.param((-1, 12, 12, 5), None, False, id="no class"),
        pytest.param((-1, 15), None, False, id="no grid"),
    ],
)
def test_misfit(shape: tuple[int, ...], classes: int | None, fits: bool) -> None:
    assert (HEADS["grid"].make(Settings(classes=classes)).misfit([shape]) == "") is fits
