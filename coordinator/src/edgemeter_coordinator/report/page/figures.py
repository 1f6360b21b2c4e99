"""Plotly's figures as plain dictionaries, and what all of the page's have in common. Pure.

Colours of text, grid and ground are the page's (page.css sets them for light, dark and print); series are in
tones that do on either ground.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Figure = dict[str, Any]

GREEN, RED, AMBER, GREY = "#1b998b", "#d1495b", "#d98324", "#8492a6"
PALETTE = (
    *("#4e79a7", "#e8913a", "#59a14f", "#d1495b", "#5fa8a3", "#a16fa0", "#c9a227", "#9c755f"),
    *("#7a86c2", "#b55d8f"),
)
"""For series that differ in kind."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """`figure` for Plotly; `says` the same in words; `height` in pixels; `legend` which marks to explain."""

    name: str
    title: str
    says: str
    figure: Figure
    height: int = 340
    wide: bool = False
    legend: str = ""


def layout(**parts: Any) -> Figure:
    """What all plots have in common."""
    base: Figure = {
        "font": {"family": "system-ui, sans-serif", "size": 12},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 56, "r": 20, "t": 16, "b": 48},
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": False,
        "hoverlabel": {"font": {"size": 12}},
        "xaxis": {"zeroline": False, "automargin": True},
        "yaxis": {"zeroline": False, "automargin": True},
    }
    for name, part in parts.items():
        base[name] = {**base[name], **part} if isinstance(base.get(name), dict) else part
    return base


_STEPS = ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9))
"""Of a decade: the coarsest that give ticks enough are taken."""
_ENOUGH_TICKS = 4


def log_axis(values: Sequence[float], human: Callable[[float | None], str]) -> Figure:
    """A logarithmic axis over `values`, all above 0, with a little room; its ticks are said by `human`."""
    low, high = math.log10(min(values)), math.log10(max(values))
    room = max(0.06 * (high - low), 0.04)
    low, high = low - room, high + room
    powers = range(math.floor(low) - 1, math.ceil(high) + 1)
    ticks: list[float] = []
    for steps in _STEPS:
        every = [step * 10.0**power for power in powers for step in steps]
        ticks = [value for value in every if low <= math.log10(value) <= high]
        if len(ticks) >= _ENOUGH_TICKS:
            break
    if len(ticks) < 2:
        # All are nearly the same: even steps.
        ticks = [float(f"{10 ** (low + (high - low) * part):.3g}") for part in (0.08, 0.5, 0.92)]
    return {
        "type": "log",
        "range": [low, high],
        "tickvals": ticks,
        "ticktext": [human(value) for value in ticks],
        "autorange": False,
    }


def escaped(text: str) -> str:
    """Plotly reads a little HTML in texts."""
    return html.escape(text, quote=False)


def common_format(recipes: Sequence[str]) -> str:
    """ "@tflite" where all recipes end so: a plot has no room to say it at each; else ""."""
    ends = {recipe[recipe.rindex("@") :] if "@" in recipe else "" for recipe in recipes}
    return ends.pop() if len(ends) == 1 else ""
