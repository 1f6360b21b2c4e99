"""95 % intervals, and what two of them say. Pure."""

from __future__ import annotations

Interval = tuple[float, float]
"""95 %: low, high."""


def meet(one: Interval | None, other: Interval | None) -> bool:
    """Whether two intervals meet; those that are not there may be anywhere."""
    if one is None or other is None:
        return True
    return one[0] <= other[1] and other[0] <= one[1]
