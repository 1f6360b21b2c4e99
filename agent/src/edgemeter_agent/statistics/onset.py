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
EARLIER_ALPHA = 0.01
"""Of a change before the one that was found."""
MAX_POINTS = 600
"""Longer series are looked at in groups of neighbours."""
MIN_RISE = 0.02
"""A smaller rise is not worth a word: two runs of one model on one board differ by as much."""
MAX_CUTS = 4

ENDS_POINTS = 5
FREQUENCY_FALL = 0.02
TEMPERATURE_RISE_MILLICELSIUS = 3000

THROTTLED = "throttled"
FREQUENCY_FELL = "frequency_fell"
TEMPERATURE = "temperature"

Values = npt.NDArray[np.float64]


def summarize_sustained(
    duration_ns: int, points: Sequence[result_pb2.SustainedPoint], seed: int = 0
) -> result_pb2.Sustained:
    """All that a result says of a sustained load. Points in the order of time; one without queries is kept
    and says nothing. First and last p50 are medians over a few points at either end."""
    sustained = result_pb2.Sustained(duration_ns=duration_ns, points=points)
    timed = [point for point in points if point.queries and point.p50_ns > 0]
    if not timed:
        return sustained
    p50 = np.array([point.p50_ns for point in timed])
    ends = min(ENDS_POINTS, max(len(timed) // 4, 1))
    sustained.first_p50_ns = float(np.median(p50[:ends]))
    sustained.last_p50_ns = float(np.median(p50[-ends:]))
    start = slowed_from(p50, seed)
    if start is not None:
        sustained.slowed_after_ns = timed[start].at_ns
        sustained.slowed_because = slowed_because(timed, start)
    return sustained


def slowed_from(p50_ns: npt.ArrayLike, seed: int = 0) -> int | None:
    """Index of the first point from which latency was higher for good; None where it was not.

    A rise is believed at 5 % (change.find_change), if it is 2 % at least and still there in the end. A change
    that goes down (a slow start) or does not last is cut off and the rest looked at again. Before a rise an
    earlier one is looked for, at 1 %: boards throttle in steps. Nothing is said of fewer than 12 points.
    """
    values = np.log(np.asarray(p50_ns, np.float64))
    group = max(math.ceil(len(values) / MAX_POINTS), 1)
    if group > 1:
        whole = len(values) // group
        values = np.median(values[: whole * group].reshape(whole, group), axis=1)
    random = np.random.default_rng(seed)
    begin = 0
    for _ in range(MAX_CUTS):
        change = find_change(values[begin:], ALPHA, random)
        if change is None:
            return None
        onset = begin + change.start
        if change.upward and _lasts(values[begin:], change.start):
            return group * _earliest(values, begin, onset, random)
        begin = onset
    return None


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


def _earliest(values: Values, begin: int, onset: int, random: np.random.Generator) -> int:
    for _ in range(MAX_CUTS):
        earlier = find_change(values[begin:onset], EARLIER_ALPHA, random)
        if earlier is None or not (earlier.upward and _lasts(values[begin:onset], earlier.start)):
            break
        onset = begin + earlier.start
    return onset


def _lasts(values: Values, start: int) -> bool:
    """The level of the last third is above the one before the change, by more than is worth a word."""
    tail = max((len(values) - start) // 3, 3)
    return float(np.median(values[-tail:]) - np.median(values[:start])) >= math.log1p(MIN_RISE)


def _clocks(points: Sequence[result_pb2.SustainedPoint]) -> list[int]:
    return [point.frequency_hz for point in points if point.HasField("frequency_hz")]


def _temperatures(points: Sequence[result_pb2.SustainedPoint]) -> list[int]:
    return [point.temperature_millicelsius for point in points if point.HasField("temperature_millicelsius")]


def _median(numbers: Sequence[int]) -> float | None:
    return float(np.median(numbers)) if numbers else None
