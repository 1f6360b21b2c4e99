"""Lines of a page for people."""

from __future__ import annotations

LABEL = 22
"""Terminal columns of what a line is about."""


def line(label: str, text: str) -> str:
    """ "median                42.7 µs"; two spaces at least between them."""
    return f"{label:{LABEL - 2}}  {text}"
