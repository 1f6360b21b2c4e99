"""The plot of where a query's time goes, a bar a variant. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgemeter_coordinator.report.page.facts import position
from edgemeter_coordinator.report.page.figures import (
    GREY,
    PALETTE,
    Figure,
    Plot,
    common_format,
    escaped,
    layout,
)
from edgemeter_protos.report import units
from edgemeter_protos.v1 import lab_pb2

MOST_KINDS = 8
"""Of operators that get a colour of their own; the others are one."""


def operators(responses: Sequence[lab_pb2.ListResultsResponse]) -> Plot | None:
    """A bar a variant: the time of a query by kind of operator, the largest first."""
    profiled = [
        (each.manifest.recipe, by_kind(each))
        for each in sorted(responses, key=position)
        if each.result.operators.operators and not each.result.operators.unavailable
    ]
    if not profiled:
        return None
    totals: dict[str, float] = {}
    for _, kinds in profiled:
        for kind, ns in kinds.items():
            totals[kind] = totals.get(kind, 0.0) + ns
    ordered = sorted(totals, key=lambda kind: -totals[kind])
    shown, rest = ordered[:MOST_KINDS], ordered[MOST_KINDS:]
    common = common_format([recipe for recipe, _ in profiled])
    names = [escaped(recipe.removesuffix(common)) for recipe, _ in profiled]
    sums = [sum(kinds.values()) or 1.0 for _, kinds in profiled]
    data = [
        _bar(kind, names, [kinds.get(kind, 0.0) for _, kinds in profiled], sums, PALETTE[index])
        for index, kind in enumerate(shown)
    ]
    if rest:
        others = [sum(kinds.get(kind, 0.0) for kind in rest) for _, kinds in profiled]
        data.append(_bar(f"{len(rest)} more", names, others, sums, GREY))
    drawn_on = layout(
        barmode="stack",
        bargap=0.35,
        xaxis={
            "title": {"text": "share of the operators' time"},
            "range": [0, 1.2],
            "tickvals": [0, 0.25, 0.5, 0.75, 1],
            "ticktext": ["0", "25 %", "50 %", "75 %", "100 %"],
        },
        yaxis={"autorange": "reversed", "automargin": True, "showgrid": False},
        annotations=[
            {
                "x": 1.01,
                "y": name,
                "text": units.human_ns(total),
                "showarrow": False,
                "xanchor": "left",
                "font": {"size": 11},
            }
            for name, total in zip(names, sums, strict=True)
        ],
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
    )
    said = "; ".join(f"{recipe}: {_most(kinds)}" for recipe, kinds in profiled)
    return Plot(
        name="operators",
        title="Time by operator",
        says=(
            f"The three that take most of each: {said}. Beside each bar is its whole; while profiled a query"
            " is slower than otherwise."
        ),
        figure={"data": data, "layout": drawn_on},
        height=150 + 34 * len(profiled) + 18 * ((len(data) + 3) // 4),
        wide=True,
    )


def _most(kinds: Mapping[str, float]) -> str:
    total = sum(kinds.values()) or 1.0
    top = sorted(kinds.items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{kind} {units.percent(ns / total)}" for kind, ns in top)


def by_kind(response: lab_pb2.ListResultsResponse) -> dict[str, float]:
    """ns of a query, of each kind of operator."""
    kinds: dict[str, float] = {}
    for each in response.result.operators.operators:
        name = each.kind or each.name or "unnamed"
        kinds[name] = kinds.get(name, 0.0) + each.ns_per_query
    return kinds


def _bar(kind: str, names: Sequence[str], ns: Sequence[float], sums: Sequence[float], colour: str) -> Figure:
    return {
        "type": "bar",
        "orientation": "h",
        "name": escaped(kind),
        "y": list(names),
        "x": [each / total for each, total in zip(ns, sums, strict=True)],
        "marker": {"color": colour},
        "hoverinfo": "text",
        "hovertext": [
            f"<b>{name}</b><br>{escaped(kind)} {units.human_ns(each)}"
            for name, each in zip(names, ns, strict=True)
        ],
        "textposition": "none",
    }
