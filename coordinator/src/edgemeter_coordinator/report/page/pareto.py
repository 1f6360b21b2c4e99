"""Plots of quality over latency, size and energy, the front marked. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgemeter_coordinator.report.intervals import Interval
from edgemeter_coordinator.report.page import metrics as quality
from edgemeter_coordinator.report.page.advice import Advice
from edgemeter_coordinator.report.page.facts import Facts
from edgemeter_coordinator.report.page.figures import (
    AMBER,
    GREEN,
    GREY,
    Figure,
    Plot,
    common_format,
    escaped,
    layout,
    log_axis,
)
from edgemeter_coordinator.report.page.front import front
from edgemeter_coordinator.report.page.wording import ranged
from edgemeter_protos.report import units

LEAST_BUBBLE, LARGEST_BUBBLE = 11.0, 34.0
"""Diameters in pixels; a bubble's area goes with the file's size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Axis:
    """What a plot has below: the words, a variant's value with its interval, and how a value is said."""

    name: str
    title: str
    value: Callable[[Facts], float | None]
    interval: Callable[[Facts], Interval | None]
    human: Callable[[float | None], str]
    bubbles: bool = False


def pareto(variants: Sequence[Facts], advice: Advice) -> list[Plot]:
    """Quality over latency, over size and over energy, as far as two variants have both."""
    if advice.metric is None:
        return []
    noun = next((each.energy.noun for each in variants), "inference")
    axes = (
        _Axis(
            name="latency",
            title="latency p50",
            value=lambda each: each.p50_ns,
            interval=lambda each: each.p50_ci95,
            human=units.human_ns,
            bubbles=True,
        ),
        _Axis(
            name="size",
            title="size of the file",
            value=lambda each: float(each.size_bytes) or None,
            interval=lambda _: None,
            human=units.human_bytes,
        ),
        _Axis(
            name="energy",
            title=f"net energy per {noun}",
            value=_net_uj,
            interval=_net_interval,
            human=units.human_uj,
        ),
    )
    drawn = [_pareto(variants, advice.metric, axis) for axis in axes]
    return [plot for plot in drawn if plot is not None]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Point:
    facts: Facts
    x: float
    metric: quality.Metric


def _pareto(variants: Sequence[Facts], key: tuple[str, str, str], axis: _Axis) -> Plot | None:
    points = [
        _Point(facts=each, x=x, metric=metric)
        for each in variants
        if (x := axis.value(each)) is not None
        and x > 0
        and (metric := quality.find(each.metrics, key)) is not None
        and math.isfinite(metric.value)
    ]
    if len(points) < 2:
        return None
    sound = [point for point in points if not point.facts.void]
    costs = [(point.x, _cost(point.metric)) for point in sound]
    best = [sound[index] for index in front(costs)]
    lower = points[0].metric.lower_is_better
    traces = []
    if len(best) > 1:
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [point.x for point in best],
                "y": [point.metric.value for point in best],
                "line": {"color": GREEN, "width": 1.5, "dash": "dot"},
                "hoverinfo": "skip",
                "meta": "front",
            }
        )
    largest = max(point.facts.size_bytes for point in points) or 1
    common = common_format([each.recipe for each in variants])
    for name, group in (
        ("void", [point for point in points if point.facts.void]),
        ("dominated", [point for point in sound if point not in best]),
        ("front", best),
    ):
        if group:
            traces.append(_marks(name, group, axis, largest, common))
    ends = [end for point in points for end in (axis.interval(point.facts) or (point.x, point.x)) if end > 0]
    drawn_on = layout(
        xaxis={**log_axis(ends, axis.human), "title": {"text": axis.title}},
        yaxis={"title": {"text": escaped(key[0]) + (" (lower is better)" if lower else "")}},
    )
    return Plot(
        name=f"quality-{axis.name}",
        title=f"{key[0]} \N{MULTIPLICATION SIGN} {axis.name}",
        says=_front_in_words(points, best, axis, key[0]),
        figure={"data": traces, "layout": drawn_on},
        legend="pareto-bubbles" if axis.bubbles else "pareto",
    )


def _marks(name: str, group: Sequence[_Point], axis: _Axis, largest: int, common: str) -> Figure:
    hollow = name == "void"
    colours = [AMBER if point.facts.is_baseline else (GREEN if name == "front" else GREY) for point in group]
    symbols = [
        ("diamond" if point.facts.is_baseline else "circle") + ("-open" if hollow else "") for point in group
    ]
    sizes = [_diameter(point.facts.size_bytes, largest) if axis.bubbles else 13.0 for point in group]
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": name,
        "meta": name,
        "x": [point.x for point in group],
        "y": [point.metric.value for point in group],
        # page.js places names where they cover nothing.
        "customdata": [point.facts.recipe.removesuffix(common) for point in group],
        "text": ["" for _ in group],
        "textfont": {"size": 11},
        "cliponaxis": False,
        "hovertext": [_hover(point, axis) for point in group],
        "hoverinfo": "text",
        "marker": {
            "size": sizes,
            "color": colours,
            "symbol": symbols,
            "opacity": 1 if hollow else 0.85,
            "line": {"width": 1.5 if hollow else 1, "color": colours},
        },
        "error_y": _errors([(point.metric.value, point.metric.ci95) for point in group], colours),
        "error_x": _errors([(point.x, axis.interval(point.facts)) for point in group], colours),
    }


def _errors(values: Sequence[tuple[float, Interval | None]], colours: Sequence[str]) -> Figure:
    """Bars from value to either end of its interval; of no length where there is none."""
    bounded = [(value, interval or (value, value)) for value, interval in values]
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, interval[1] - value) for value, interval in bounded],
        "arrayminus": [max(0.0, value - interval[0]) for value, interval in bounded],
        "color": colours[0] if len(set(colours)) == 1 else GREY,
        "thickness": 1,
        "width": 3,
    }


def _hover(point: _Point, axis: _Axis) -> str:
    metric = point.metric
    bounds = ""
    if metric.ci95:
        bounds = f" ({ranged(quality.human(metric.ci95[0]), quality.human(metric.ci95[1]))})"
    lines = [
        f"<b>{escaped(point.facts.recipe)}</b>",
        f"{escaped(metric.name)} {quality.human(metric.value)}{bounds}",
        f"{axis.title} {axis.human(point.x)}",
    ]
    if axis.name != "size":
        lines.append(f"size {units.human_bytes(point.facts.size_bytes)}")
    if point.facts.verdict != "valid":
        lines.append(escaped(f"{point.facts.verdict}: {', '.join(point.facts.codes)}"))
    return "<br>".join(lines)


def _front_in_words(points: Sequence[_Point], best: Sequence[_Point], axis: _Axis, metric: str) -> str:
    if not best:
        return f"All {len(points)} variants drawn are void: there is no front."
    named = "; ".join(
        f"{point.facts.recipe} ({axis.human(point.x)}, {metric} {quality.human(point.metric.value)})"
        for point in best
    )
    text = f"On the front, from the least {axis.name}: {named}."
    void = sum(point.facts.void for point in points)
    return text + (f" {void} of {len(points)} void, drawn hollow." if void else "")


def _diameter(size_bytes: int, largest: int) -> float:
    return round(max(LEAST_BUBBLE, LARGEST_BUBBLE * math.sqrt(size_bytes / largest)), 1)


def _cost(one: quality.Metric) -> float:
    return one.value if one.lower_is_better else -one.value


def _net_uj(one: Facts) -> float | None:
    return one.energy.net_uj if one.energy.status == "measured" else None


def _net_interval(one: Facts) -> Interval | None:
    value, half = one.energy.net_uj, one.energy.net_half_uj
    return None if value is None or half is None else (value - half, value + half)
