"""When a sustained load slowed down for good, and what the board showed then."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgemeter_agent.statistics.change import find_change
from edgemeter_protos.v1 import result_pb2

ALPHA = 0.05
"""False alarms, where latency varies and never slows down for good."""
MAX_POINTS = 300
"""Longer series are looked at in groups of neighbours."""
LEAST_RISE = math.log(1.02)
"""A smaller rise is not worth a word: two runs of one model on one board differ by as much."""
START_SHARE = 0.25
"""Of the points: a faster level after them, and then a slower one, is a slow start and then a slowing."""

ENDS_POINTS = 5
FREQUENCY_FALL = 0.02
TEMPERATURE_RISE_MILLICELSIUS = 3000

THROTTLED = "throttled"
FREQUENCY_FELL = "frequency_fell"
TEMPERATURE = "temperature"

Values = npt.NDArray[np.float64]


def summarize_sustained(
    duration_ns: int, points: Sequence[result_pb2.SustainedPoint]
) -> result_pb2.Sustained:
    """All that a result says of a sustained load. Points in the order of time, each stamped at its end; one
    without queries is kept and says nothing. First and last p50 are medians over a few points at either end;
    it slowed after the end of the last point that was as fast as before."""
    sustained = result_pb2.Sustained(duration_ns=duration_ns, points=points)
    timed = [point for point in points if point.queries and point.p50_ns > 0]
    if not timed:
        return sustained
    p50 = np.array([point.p50_ns for point in timed])
    ends = min(ENDS_POINTS, max(len(timed) // 4, 1))
    sustained.first_p50_ns = float(np.median(p50[:ends]))
    sustained.last_p50_ns = float(np.median(p50[-ends:]))
    start = slowed_from(p50)
    if start is not None:
        sustained.slowed_after_ns = timed[start - 1].at_ns
        sustained.slowed_because = slowed_because(timed, start)
    return sustained


def slowed_from(p50_ns: npt.ArrayLike) -> int | None:
    """Index of the first point from which latency was higher for good; None where it was not.

    Latency changed if change.find_change says so at 5 %. It rose for good if the levels to the end are 2 %
    above the first at least; or, after a slow start, the last is 2 % above the one in the middle. Nothing is
    said of fewer than 20 points.
    """
    values = np.log(np.asarray(p50_ns, np.float64))
    group = max(math.ceil(len(values) / MAX_POINTS), 1)
    if group > 1:
        whole = len(values) // group
        values = np.median(values[: whole * group].reshape(whole, group), axis=1)
    change = find_change(values, ALPHA)
    if change is None:
        return None
    start = change.starts[0]
    if change.slope:
        rises = [_level(values[-3:]) - _level(values[:start])]
    else:
        levels = [_level(part) for part in np.split(values, change.starts)]
        if len(levels) == 3 and levels[1] < levels[0] and start <= START_SHARE * len(values):
            start, levels = change.starts[1], levels[1:]
        rises = [level - levels[0] for level in levels[1:]]
        if len(rises) == 2 and rises[0] < LEAST_RISE:
            # The first of the two steps is none that is worth a word.
            start, rises = change.starts[1], [levels[2] - max(levels[:2])]
    return group * start if min(rises) >= LEAST_RISE else None


def slowed_because(points: Sequence[result_pb2.SustainedPoint], start: int) -> str:
    """What the board showed when point `start` was the first slow one, the strongest sign first: it began to
    say that it was throttled, its clock was lower from then on, or it was hotter. Empty for none of them."""
    before, after = points[:start], points[start:]
    # It may be reported a point before it is felt, or after.
    at_onset = points[max(start - 1, 0) : start + 3]
    earlier = points[: max(start - 1, 1)]
    if any(point.throttled for point in at_onset) and 2 * sum(p.throttled for p in earlier) < len(earlier):
        return THROTTLED
    clock_before, clock_after = _median(_clocks(before)), _median(_clocks(after))
    if clock_after is not None and clock_after < (1 - FREQUENCY_FALL) * (clock_before or 0):
        return FREQUENCY_FELL
    heat_before, heat_after = _median(_temperatures(before)), _median(_temperatures(after))
    if heat_before is None or heat_after is None:
        return ""
    return TEMPERATURE if heat_after - heat_before >= TEMPERATURE_RISE_MILLICELSIUS else ""


def _level(values: Values) -> float:
    return float(np.median(values))


def _clocks(points: Sequence[result_pb2.SustainedPoint]) -> list[int]:
    return [point.frequency_hz for point in points if point.HasField("frequency_hz")]


def _temperatures(points: Sequence[result_pb2.SustainedPoint]) -> list[int]:
    return [point.temperature_millicelsius for point in points if point.HasField("temperature_millicelsius")]


def _median(numbers: Sequence[int]) -> float | None:
    return float(np.median(numbers)) if numbers else None
