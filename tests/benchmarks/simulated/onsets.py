"""Sustained loads that slow down, and some that only look so."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from edgemeter_agent.statistics.onset import slowed_from
from tests.benchmarks.simulated.laboratory import MEDIAN_NS
from tests.benchmarks.simulated.rows import Row

POINTS = 120
NEAR_POINTS = 2

Values = npt.NDArray[np.float64]
Shape = Callable[[int], Values]


def autoregressive(random: np.random.Generator, points: int, correlation: float, sd: float) -> Values:
    noise = random.normal(0, sd, points)
    noise[1:] *= np.sqrt(1 - correlation**2)
    for place in range(1, points):
        noise[place] += correlation * noise[place - 1]
    return noise


def flat(points: int) -> Values:
    return np.zeros(points)


def step(share: float, height: float) -> Shape:
    def shape(points: int) -> Values:
        return np.where(np.arange(points) >= round(share * points), height, 0.0)

    return shape


def ramp(share: float, height: float) -> Shape:
    """From there to the end."""

    def shape(points: int) -> Values:
        begin = round(share * points)
        return height * np.maximum(np.arange(points) - begin + 1, 0) / (points - begin)

    return shape


def bump(begin: float, end: float, height: float) -> Shape:
    def shape(points: int) -> Values:
        share = np.arange(points) / points
        return np.where((share >= begin) & (share < end), height, 0.0)

    return shape


def found(shape: Shape, correlation: float, sd: float, runs: int, points: int = POINTS) -> list[int | None]:
    random = np.random.default_rng(5)
    return [
        slowed_from(MEDIAN_NS * np.exp(shape(points) + autoregressive(random, points, correlation, sd)))
        for _ in range(runs)
    ]


def rows(runs: int) -> list[Row]:
    made = []
    for points in (30, POINTS):
        for correlation in (0.0, 0.5, 0.8):
            alarms = sum(one is not None for one in found(flat, correlation, 0.05, runs, points))
            what = f"no change, {points} points, correlation {correlation:g}, noise 5 %: alarms"
            made.append(Row(group="slowing", what=what, runs=runs, hits=alarms, most=0.05))
    passing = sum(one is not None for one in found(bump(0.3, 0.5, 0.1), 0.3, 0.01, runs))
    made.append(Row(group="slowing", what="10 % for a while: alarms", runs=runs, hits=passing, most=0.05))
    for correlation, sd in ((0.0, 0.01), (0.5, 0.01), (0.0, 0.02)):
        places = found(step(0.4, 0.1), correlation, sd, runs)
        near = sum(place is not None and abs(place - 0.4 * POINTS) <= NEAR_POINTS for place in places)
        what = f"step of 10 %, correlation {correlation:g}, noise {sd:.0%}: found within 2 points"
        made.append(Row(group="slowing", what=what, runs=runs, hits=near, least=0.9))
    for share in (0.0, 0.4):
        places = found(ramp(share, 0.15), 0.3, 0.01, runs)
        seen = sum(place is not None for place in places)
        what = f"ramp of 15 % from {share:.0%} to the end, correlation 0.3, noise 1 %: found"
        made.append(Row(group="slowing", what=what, runs=runs, hits=seen, least=0.9))
    return made
