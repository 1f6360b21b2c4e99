"""Durations as people write them: "2s", "10m", "1h30m", "250ms". Pure."""

from __future__ import annotations

import re
from fractions import Fraction

UNITS_NS: dict[str, int] = {
    "h": 3_600_000_000_000,
    "min": 60_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "µs": 1_000,
    "ns": 1,
}

_PART = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?) *(h|min|ms|m|s|us|µs|ns) *")
_MOST_CHARACTERS = 100


def parse_duration(text: str) -> int:
    """In ns. Numbers are decimal, and each has a unit. Raises ValueError, one line, for anything else, and
    for what is no whole number of ns."""
    total, position = Fraction(0), 0
    stripped = text.strip()
    while position < len(stripped) <= _MOST_CHARACTERS:
        part = _PART.match(stripped, position)
        if part is None:
            break
        total += Fraction(part[1]) * UNITS_NS[part[2]]
        position = part.end()
    if not stripped or position < len(stripped):
        raise ValueError(
            f"{text[:_MOST_CHARACTERS]!r} is no duration: write a number and a unit, as in 10m, 2s or 250ms"
        )
    if total.denominator != 1:
        raise ValueError(f"{text!r} is no whole number of nanoseconds")
    return int(total)


def format_duration(duration_ns: int) -> str:
    """The shortest text that `parse_duration` takes for the same: one number with the largest unit of which
    it is a whole one."""
    for unit in ("h", "m", "s", "ms", "us"):
        if duration_ns and duration_ns % UNITS_NS[unit] == 0:
            return f"{duration_ns // UNITS_NS[unit]}{unit}"
    return f"{duration_ns}ns" if duration_ns else "0s"
