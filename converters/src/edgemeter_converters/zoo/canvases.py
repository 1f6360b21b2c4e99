"""Pictures for a detector: pieces of Fashion-MNIST on a noisy ground, with exact boxes. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 96
MOST = 4
"""Pieces on a canvas; at least one."""

_LOW, _HIGH = 24, 44
"""Side of a piece's 28 x 28 pixels once scaled."""
_TRIES = 20
_INK = 32
"""From which value a pixel belongs to the piece."""


def compose(
    pictures: NDArray[np.uint8], labels: NDArray[Any], count: int, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Canvases (count, 96, 96, 1), and boxes (count, 4, 5): ymin, xmin, ymax, xmax as shares of the side, and
    the class; class -1 where there is none. The same ones for the same seed.

    Boxes are tight around what is drawn, and do not overlap.

    Args:
        pictures: (samples, 28, 28, 1).
        labels: (samples,).
    """
    # RandomState: its stream is frozen for good (NEP 19).
    random = np.random.RandomState(seed)
    canvases = np.empty((count, SIDE, SIDE, 1), np.uint8)
    boxes = np.zeros((count, MOST, 5), np.float32)
    boxes[..., 4] = -1
    for canvas, found in zip(canvases, boxes, strict=True):
        ground = random.normal(random.uniform(20, 70), 10, (SIDE, SIDE))
        taken: list[tuple[int, int, int, int]] = []
        for _ in range(random.randint(1, MOST + 1)):
            chosen = random.randint(len(pictures))
            piece = _scaled(pictures[chosen, :, :, 0], random.randint(_LOW, _HIGH + 1))
            box = _place(piece.shape, taken, random)
            if box is not None:
                ymin, xmin, ymax, xmax = box
                under = ground[ymin:ymax, xmin:xmax]
                ground[ymin:ymax, xmin:xmax] = np.where(piece >= _INK, piece, under)
                found[len(taken)] = (*(np.array(box) / SIDE), labels[chosen])
                taken.append(box)
        canvas[..., 0] = np.clip(ground, 0, 255)
    return canvases, boxes


def _scaled(picture: NDArray[np.uint8], side: int) -> NDArray[np.float64]:
    """Bilinearly, and cut to what belongs to the piece."""
    at = np.linspace(0, len(picture) - 1, side)
    low = np.minimum(at.astype(int), len(picture) - 2)
    share = at - low
    rows = picture[low] * (1 - share)[:, None] + picture[low + 1] * share[:, None]
    whole = rows[:, low] * (1 - share) + rows[:, low + 1] * share
    ink = whole >= _INK
    ys, xs = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    cut: NDArray[np.float64] = whole[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
    return cut


def _place(
    size: tuple[int, ...], taken: list[tuple[int, int, int, int]], random: np.random.RandomState
) -> tuple[int, int, int, int] | None:
    """A box of this size that overlaps with none; None where none was found."""
    for _ in range(_TRIES):
        top, left = (random.randint(SIDE - each + 1) for each in size)
        box = (top, left, top + size[0], left + size[1])
        if not any(_overlap(box, other) for other in taken):
            return box
    return None


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
