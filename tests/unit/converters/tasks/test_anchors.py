from __future__ import annotations

import numpy as np
import pytest

from edgemeter_converters.tasks.anchors import ssd_anchors


@pytest.mark.parametrize(("size", "anchors"), [(300, 1917), (320, 2034)])
def test_as_many_as_the_field_has(size: int, anchors: int) -> None:
    assert ssd_anchors(size).shape == (anchors, 4)


def test_values_as_in_a_frozen_graph() -> None:
    """Scales and ratios are those that the TensorFlow Object Detection API wrote into SSD graphs."""
    anchors = ssd_anchors(300)
    # The finest layer: 19 x 19 cells of 0.1 square, and 0.2 at ratios 2 and 0.5.
    assert anchors[0] == pytest.approx([0.5 / 19, 0.5 / 19, 0.1, 0.1])
    assert anchors[1] == pytest.approx([0.5 / 19, 0.5 / 19, 0.2 / np.sqrt(2), 0.2 * np.sqrt(2)])
    assert anchors[2] == pytest.approx([0.5 / 19, 0.5 / 19, 0.2 * np.sqrt(2), 0.2 / np.sqrt(2)])
    assert anchors[3] == pytest.approx([0.5 / 19, 1.5 / 19, 0.1, 0.1])
    # The next: 10 x 10 cells of 0.35, and one between it and the next but one.
    second = anchors[19 * 19 * 3 :][:6]
    assert second[:, 0] == pytest.approx(0.05)
    assert second[3, 2:] == pytest.approx([0.35 / np.sqrt(3), 0.35 * np.sqrt(3)])
    assert second[4, 2:] == pytest.approx([0.35 / np.sqrt(0.3333), 0.35 * np.sqrt(0.3333)])
    assert second[5, 2:] == pytest.approx([0.41833, 0.41833], abs=1e-5)
    assert anchors[-1] == pytest.approx([0.5, 0.5, 0.9746794, 0.9746794])
