"""How ratios, intervals and lists are written. Pure."""

from __future__ import annotations

from collections.abc import Sequence

DASH = "\N{EN DASH}"
NOTHING = DASH
"""In a cell: not measured."""


def times(ratio: float) -> str:
    """With its sign: 0.48, 27.3, 0.031 and the like."""
    return f"{figure(ratio)}\N{MULTIPLICATION SIGN}"


def figure(ratio: float) -> str:
    """Three digits, at most two of them after the point for what is not small."""
    if ratio >= 9.995:
        return f"{ratio:,.1f}" if ratio < 99.95 else f"{ratio:,.0f}"
    return f"{ratio:.2f}" if abs(ratio) >= 0.095 or ratio == 0 else f"{ratio:.2g}"


def between(interval: tuple[float, float] | None) -> str:
    """Of ratios: "0.46 to 0.50"; "" for none."""
    return "" if interval is None else f"{figure(interval[0])} to {figure(interval[1])}"


def ranged(low: str, high: str) -> str:
    """Two numbers with a dash between them, their unit once where both have the same."""
    number, _, unit = low.partition(" ")
    return f"{number} {DASH} {high}" if unit == high.partition(" ")[2] else f"{low} {DASH} {high}"


def listed(names: Sequence[str]) -> str:
    """ "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
