"""The Pareto front: what nothing else beats in everything. Pure."""

from __future__ import annotations

from collections.abc import Sequence

Costs = Sequence[float]
"""Of one point, each the smaller the better."""


def dominates(one: Costs, other: Costs) -> bool:
    """Whether `one` is nowhere worse and somewhere better."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)


def front(points: Sequence[Costs]) -> list[int]:
    """Indices of the points that no other dominates, by their first cost, then as given.

    Points that are alike in everything are on it together, or off it together.
    """
    kept = [
        index for index, point in enumerate(points) if not any(dominates(other, point) for other in points)
    ]
    return sorted(kept, key=lambda index: (points[index][0], index))
