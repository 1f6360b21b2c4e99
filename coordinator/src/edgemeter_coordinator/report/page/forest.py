"""The plot of latency against the baseline, a row a variant. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgemeter_coordinator.report.page import changes
from edgemeter_coordinator.report.page.facts import Facts
from edgemeter_coordinator.report.page.figures import (
    AMBER,
    GREEN,
    GREY,
    RED,
    Figure,
    Plot,
    common_format,
    escaped,
    layout,
    log_axis,
)
from edgemeter_coordinator.report.page.wording import times

TONES = {changes.BETTER: GREEN, changes.WORSE: RED}
"""Others are grey."""


def forest(variants: Sequence[Facts], *, wide: bool) -> Plot | None:
    """Latency over the baseline's, a row a variant, with its interval; void ones are not drawn."""
    baseline = next((each for each in variants if each.is_baseline), None)
    if baseline is None or baseline.void:
        return None
    drawn = [each for each in variants if not each.is_baseline and not each.void and each.ratio is not None]
    if not drawn:
        return None
    found = [(each, changes.latency(each, baseline)) for each in drawn]
    tones = [TONES.get(change.worth, GREY) for _, change in found]
    ratios = [each.ratio or math.nan for each in drawn]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": ratios,
        "y": list(range(len(drawn))),
        "hoverinfo": "text",
        "hovertext": [
            f"<b>{escaped(each.recipe)}</b><br>{change.text} {change.interval}<br>{change.word}"
            for each, change in found
        ],
        "marker": {"size": 10, "color": tones, "symbol": "square"},
        "showlegend": False,
    }
    bars = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": list(each.ratio_ci95),
            "y": [index, index],
            "line": {"color": tones[index], "width": 2.5},
            "hoverinfo": "skip",
        }
        for index, each in enumerate(drawn)
        if each.ratio_ci95 is not None
    ]
    ends = [end for each in drawn for end in (each.ratio_ci95 or ()) if end > 0] + ratios + [1.0]
    common = common_format([each.recipe for each in variants])
    names = [escaped(each.recipe.removesuffix(common)) for each in drawn]
    drawn_on = layout(
        xaxis={
            **log_axis(ends, lambda value: times(value or 0.0)),
            "title": {"text": "latency over the baseline's"},
        },
        yaxis={
            "tickvals": list(range(len(drawn))),
            "ticktext": names,
            "range": [len(drawn) - 0.5, -0.5],
            "showgrid": False,
            "automargin": True,
            "zeroline": False,
        },
        shapes=[_line_at(1.0)],
    )
    said = "; ".join(
        f"{each.recipe} {change.text}"
        + (f" ({change.interval})" if change.interval else "")
        + f", {change.word}"
        for each, change in found
    )
    return Plot(
        name="forest",
        title="Latency against the baseline",
        says=f"Against {baseline.recipe}: {said}.",
        figure={"data": [*bars, trace], "layout": drawn_on},
        height=110 + 34 * len(drawn),
        wide=wide,
        legend="forest",
    )


def _line_at(x: float) -> Figure:
    return {
        "type": "line",
        "xref": "x",
        "x0": x,
        "x1": x,
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "line": {"color": AMBER, "width": 1.5},
        "layer": "below",
    }
