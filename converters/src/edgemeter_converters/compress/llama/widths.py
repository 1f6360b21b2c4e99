"""How wide a pruned layer is to be. Pure."""

from __future__ import annotations

SUPER_BLOCK, BLOCK = 256, 32
"""Columns that llama.cpp's formats take together: q4_k_m and the like 256, q4_0, q8_0 and iq4_nl 32. A layer
of another width falls back to a larger format, or can't be quantized."""

SLACK = 0.05
"""Of the whole width: by so much a width may miss what was asked for, for the sake of whole super-blocks."""


def kept_width(width: int, share: float) -> int | None:
    """The width that is nearest to what `share` leaves of one and suits quantizers; None where no such width
    is smaller."""
    wanted = width * (1 - share)
    for multiple, slack in ((SUPER_BLOCK, SLACK), (BLOCK, 1.0)):
        nearest = max(multiple, round(wanted / multiple) * multiple)
        if nearest < width and abs(nearest - wanted) <= slack * width:
            return nearest
    fewer = (width - 1) // BLOCK * BLOCK
    return fewer or None
