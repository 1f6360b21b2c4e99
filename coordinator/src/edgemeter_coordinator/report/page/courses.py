"""Plots of what went on over time: under a sustained load, and of the power that was read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgemeter_coordinator.report.page.facts import position
from edgemeter_coordinator.report.page.figures import PALETTE, Figure, Plot, common_format, escaped, layout
from edgemeter_coordinator.report.page.traces import Trace
from edgemeter_protos.report import times, units
from edgemeter_protos.v1 import lab_pb2

KEPT, VOIDED, IDLE = "rgba(27,153,139,0.14)", "rgba(209,73,91,0.16)", "rgba(132,146,166,0.14)"


_PANELS = (
    ("p50_ns", "p50 over its first", 1.0),
    ("temperature_millicelsius", "temperature, °C", 1e-3),
    ("frequency_hz", "frequency, GHz", 1e-9),
    ("power_mw", "power, W", 1e-3),
)


def sustained(responses: Sequence[lab_pb2.ListResultsResponse]) -> Plot | None:
    """What became of latency, temperature, frequency and power under a load without pause: a panel each, as
    far as something was read, and a line a variant."""
    courses = []
    for each in sorted(responses, key=position):
        one = times.sustained(each.result)
        if one["points"]:
            courses.append((each.manifest.recipe, one))
    panels = [
        panel
        for panel in _PANELS
        if any(point[panel[0]] is not None for _, course in courses for point in course["points"])
    ]
    if not courses or not panels:
        return None
    common = common_format([recipe for recipe, _ in courses])
    data = []
    for row, (name, _, scale) in enumerate(panels):
        for index, (recipe, course) in enumerate(courses):
            points = course["points"]
            over = course["first_p50_ns"] if name == "p50_ns" else None
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": escaped(recipe.removesuffix(common)),
                    "legendgroup": str(index),
                    "showlegend": row == 0,
                    "x": [point["at_ns"] / 1e9 for point in points],
                    "y": [_scaled(point[name], scale, over) for point in points],
                    "yaxis": "y" if row == 0 else f"y{row + 1}",
                    "line": {"width": 1.8, "color": PALETTE[index % len(PALETTE)]},
                    "hoverinfo": "text",
                    "hovertext": [_point_in_words(recipe, point) for point in points],
                }
            )
    axes: dict[str, Any] = {}
    height = 1 / len(panels)
    for row, (_, title, _) in enumerate(panels):
        top = 1 - row * height
        axes["yaxis" if row == 0 else f"yaxis{row + 1}"] = {
            "domain": [max(0.0, top - height + 0.05), top],
            "title": {"text": title, "font": {"size": 11}},
            "zeroline": False,
            "automargin": True,
            "nticks": 5,
        }
    drawn_on = layout(
        **axes,
        xaxis={
            "title": {"text": "seconds without a pause"},
            "anchor": "y" if len(panels) == 1 else f"y{len(panels)}",
        },
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    return Plot(
        name="sustained",
        title="Under a load without pause",
        says=" ".join(_sustained_in_words(recipe, course) for recipe, course in courses),
        figure={"data": data, "layout": drawn_on},
        height=110 + 150 * len(panels) + 18 * ((len(courses) + 2) // 3),
        wide=True,
    )


def _point_in_words(recipe: str, point: Mapping[str, Any]) -> str:
    read = [f"p50 {units.human_ns(point['p50_ns'])}"]
    for name, human in (
        ("temperature_millicelsius", units.human_celsius),
        ("frequency_hz", units.human_hz),
        ("power_mw", units.human_mw),
    ):
        if point[name] is not None:
            read.append(human(point[name]))
    return f"<b>{escaped(recipe)}</b><br>{units.human_ns(point['at_ns'])}: {', '.join(read)}"


def _scaled(value: float | None, scale: float, over: float | None) -> float | None:
    if value is None:
        return None
    return value / over if over else value * scale


def _sustained_in_words(recipe: str, course: dict[str, Any]) -> str:
    text = (
        f"{recipe}: p50 {units.human_ns(course['first_p50_ns'])} at first, "
        f"{units.human_ns(course['last_p50_ns'])} at last"
    )
    if course["slowed_after_ns"] is not None:
        why = (course["slowed_because"] or "the board showed no reason").replace("_", " ")
        text += f", slowed after {units.human_ns(course['slowed_after_ns'])} ({why})"
    return text + "."


def power(responses: Sequence[lab_pb2.ListResultsResponse], traces: Mapping[str, Trace]) -> list[Plot]:
    """Watts over time, a plot a variant: windows that were kept, those that were not, and idle are shaded."""
    plots = []
    for each in sorted(responses, key=position):
        trace = traces.get(each.result.trace_digest)
        if trace is None or not trace.seconds:
            continue
        shapes = [_shade(begin, end, KEPT if kept else VOIDED) for begin, end, kept in trace.windows]
        shapes += [_shade(begin, end, IDLE) for begin, end in trace.idle]
        kept = sum(kept for _, _, kept in trace.windows)
        plots.append(
            Plot(
                name="power",
                title=f"Power: {each.manifest.recipe}",
                says=(
                    f"{min(trace.watts):.2f} W to {max(trace.watts):.2f} W over"
                    f" {trace.seconds[-1] - trace.seconds[0]:.0f} s; {kept} of {len(trace.windows)} windows"
                    " kept."
                ),
                figure={
                    "data": [
                        {
                            "type": "scatter",
                            "mode": "lines",
                            "x": list(trace.seconds),
                            "y": list(trace.watts),
                            "line": {"width": 1.2, "color": PALETTE[0]},
                            "hovertemplate": "%{y:.2f} W at %{x:.1f} s<extra></extra>",
                        }
                    ],
                    "layout": layout(
                        xaxis={"title": {"text": "seconds"}},
                        yaxis={"title": {"text": "watts"}, "rangemode": "tozero"},
                        shapes=shapes,
                    ),
                },
                height=240,
                legend="power",
            )
        )
    return plots


def _shade(begin: float, end: float, colour: str) -> Figure:
    return {
        "type": "rect",
        "xref": "x",
        "x0": begin,
        "x1": end,
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "fillcolor": colour,
        "line": {"width": 0},
        "layer": "below",
    }
