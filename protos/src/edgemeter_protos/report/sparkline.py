"""A course of values as one line of text. Pure."""

from __future__ import annotations

from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
GAP = " "
WIDTH = 60


def sparkline(values: Sequence[float | None], width: int = WIDTH) -> str:
    """One character a value, from the least (the lowest bar) to the greatest; a space where there is none.

    More than `width` values are averaged in as many groups of neighbours. Values that are all alike are drawn
    at half height: nothing rose and nothing fell.
    """
    drawn = grouped(values, width)
    known = [value for value in drawn if value is not None]
    if not known:
        return ""
    low, span = min(known), max(known) - min(known)
    return "".join(GAP if value is None else _bar(value - low, span) for value in drawn)


def grouped(values: Sequence[float | None], width: int) -> list[float | None]:
    """At most `width` means over neighbours, gaps left out of them; None for a group of gaps."""
    count = min(len(values), width)
    groups = [
        values[index * len(values) // count : (index + 1) * len(values) // count] for index in range(count)
    ]
    return [_mean(group) for group in groups]


def marker(position: int, of: int, width: int = WIDTH) -> str:
    """A line that points at one of `of` values under their sparkline."""
    count = min(of, width)
    return " " * (position * count // of) + "^" if of else ""


def _bar(above: float, span: float) -> str:
    if span <= 0:
        return BARS[len(BARS) // 2]
    return BARS[min(int(above / span * len(BARS)), len(BARS) - 1)]


def _mean(group: Sequence[float | None]) -> float | None:
    known = [value for value in group if value is not None]
    return sum(known) / len(known) if known else None
