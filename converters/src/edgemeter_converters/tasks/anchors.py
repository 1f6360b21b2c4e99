"""The boxes that an SSD head's outputs are corrections of."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FIRST_STRIDE = 16
"""Pixels of the input between two cells of the finest layer: MobileNet's."""
LAYERS = 6
MIN_SCALE, MAX_SCALE = 0.2, 0.95
ASPECT_RATIOS = (1.0, 2.0, 0.5, 3.0, 0.3333)
"""Width to height; the last is written so in the field's configurations, not 1/3."""


def ssd_anchors(size: int) -> NDArray[np.float64]:
    """Anchors (anchors, 4) of an SSD on MobileNet with square inputs of `size` pixels: y and x of the centre,
    height and width, as shares of the picture; 1917 of them for 300 pixels.

    W. Liu et al., SSD: Single Shot MultiBox Detector (arXiv:1512.02325), section 2.2, with the scales, the
    ratios and the reduced finest layer of the TensorFlow Object Detection API's generator. Layers
    stand from fine to coarse, in each its cells row by row, in each cell its anchors.
    """
    found = []
    cells = math.ceil(size / FIRST_STRIDE)
    scales = [MIN_SCALE + (MAX_SCALE - MIN_SCALE) * layer / (LAYERS - 1) for layer in range(LAYERS)]
    for layer, (scale, coarser) in enumerate(zip(scales, [*scales[1:], 1.0], strict=True)):
        if layer == 0:
            # Fewer, and the square one smaller: the finest layer has most of the cells.
            shapes = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
        else:
            shapes = [*((scale, ratio) for ratio in ASPECT_RATIOS), (math.sqrt(scale * coarser), 1.0)]
        found.append(_layer(cells, shapes))
        cells = math.ceil(cells / 2)
    return np.concatenate(found)


def _layer(cells: int, shapes: list[tuple[float, float]]) -> NDArray[np.float64]:
    centres = (np.arange(cells) + 0.5) / cells
    y, x = np.meshgrid(centres, centres, indexing="ij")
    layer = np.empty((cells, cells, len(shapes), 4))
    layer[..., 0], layer[..., 1] = y[..., None], x[..., None]
    layer[..., 2] = [scale / math.sqrt(ratio) for scale, ratio in shapes]
    layer[..., 3] = [scale * math.sqrt(ratio) for scale, ratio in shapes]
    return layer.reshape(-1, 4)
