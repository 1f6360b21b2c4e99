"""Does a trace carry the load that this board made? Steps of uneven length, found again by correlation.

A clock can be right and the wire wrong: a meter of another board, of the wrong channel, or a lag that nobody
stated. Bursts of load whose lengths no other load has are made here, and looked for in the trace; where they
are found also tells by how much the trace is late, clock and meter together.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgemeter_agent.energy.trace import Trace

BURSTS = 5
MIN_PART_S = 0.1
"""Shorter, a processor's clock has not risen yet."""
PART_PERIODS = 4
"""A burst or a pause has at least so many readings."""
LONGEST_PART = 3.0
"""Times the shortest. Lengths differ, so that no shift but the right one fits."""

FOUND_QUALITY = 0.8
"""From here on the signature is in the trace. Noise of the same length stays below 0.6 (simulated: tests)."""

_STEPS_PER_PERIOD = 4
PAUSE_PERIODS = 2
"""Of the pauses before and after the bursts, so much is looked at too, for their outer edges."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Attributes:
    bursts_ns: (on, off) of each, rising; relative to a start, or CLOCK_MONOTONIC as `run_signature` gives it.
    """

    bursts_ns: tuple[tuple[int, int], ...]

    @property
    def duration_ns(self) -> int:
        return self.bursts_ns[-1][1] - self.bursts_ns[0][0]


def step_signature(seed: int, sample_period_s: float) -> Schedule:
    """Bursts and pauses for a meter with this many seconds between readings; the same ones for a seed."""
    shortest_s = max(PART_PERIODS * sample_period_s, MIN_PART_S)
    generator = random.Random(seed)  # noqa: S311 (a pattern, no secret)
    lengths_ns = [round(1e9 * shortest_s * generator.uniform(1, LONGEST_PART)) for _ in range(2 * BURSTS - 1)]
    bursts, at_ns = [], 0
    for number in range(BURSTS):
        on_ns = at_ns
        at_ns += lengths_ns[2 * number]
        bursts.append((on_ns, at_ns))
        at_ns += lengths_ns[2 * number + 1] if number < BURSTS - 1 else 0
    return Schedule(bursts_ns=tuple(bursts))


def run_signature(
    schedule: Schedule,
    clock_ns: Callable[[], int] = time.monotonic_ns,
    sleep: Callable[[float], Any] = time.sleep,
) -> Schedule:
    """Keeps one processor busy for each burst, in this process; when it really was, by `clock_ns`."""
    start_ns = clock_ns() - schedule.bursts_ns[0][0]
    ran = []
    for on_ns, off_ns in schedule.bursts_ns:
        wait_ns = start_ns + on_ns - clock_ns()
        if wait_ns > 0:
            sleep(wait_ns / 1e9)
        begun_ns = clock_ns()
        busy = 1.0
        while clock_ns() < start_ns + off_ns:
            # Work that the interpreter can't leave out, on the floating-point unit too.
            for _ in range(200):
                busy = math.sqrt(busy + 1.0)
        ran.append((begun_ns, clock_ns()))
    return Schedule(bursts_ns=tuple(ran))


def correlate(trace: Trace, schedule: Schedule, max_lag_s: float) -> tuple[int, float]:
    """By how much the trace is late, in ns, and how well the signature is found in it, at most 1.

    The quality is Pearson's correlation of power and bursts at the best lag; at FOUND_QUALITY it is there.
    It is 0 where the trace stands still, or reaches less than `max_lag_s` and two readings beyond the bursts.
    `schedule` is what `run_signature` gave, in the trace's clock.
    """
    stamps, power = trace.monotonic_ns, trace.total_mw
    if len(stamps) < 4:
        return 0, 0.0
    period_ns = float(np.median(np.diff(stamps)))
    first_ns, last_ns = schedule.bursts_ns[0][0], schedule.bursts_ns[-1][1]
    max_lag_ns, pause_ns = round(1e9 * max_lag_s), PAUSE_PERIODS * period_ns
    if stamps[0] > first_ns - max_lag_ns - pause_ns or stamps[-1] < last_ns + max_lag_ns + pause_ns:
        return 0, 0.0
    step_ns = max(period_ns / _STEPS_PER_PERIOD, 1.0)
    at_ns = (stamps - first_ns).astype(np.float64)
    grid = np.arange(-pause_ns, last_ns - first_ns + pause_ns, step_ns)
    wanted = _smoothed_bursts(schedule, grid, period_ns)
    steps = int(max_lag_ns // step_ns)
    lags = step_ns * np.arange(-steps, steps + 1)
    qualities = np.array([_pearson(wanted, np.interp(grid + lag, at_ns, power)) for lag in lags])
    best = int(np.argmax(qualities))
    if not qualities[best] > 0:
        return 0, 0.0
    lag_ns = lags[best] + step_ns * _peak_between(qualities, best)
    return round(float(lag_ns)), float(qualities[best])


def _smoothed_bursts(schedule: Schedule, grid: Floats, period_ns: float) -> Floats:
    """1 in a burst, 0 in a pause, and ramps of one period: as a trace drawn between readings shows a step."""
    first_ns = schedule.bursts_ns[0][0]
    wanted = np.zeros_like(grid)
    for on_ns, off_ns in schedule.bursts_ns:
        rises = np.clip((grid - (on_ns - first_ns)) / period_ns + 0.5, 0, 1)
        falls = np.clip((grid - (off_ns - first_ns)) / period_ns + 0.5, 0, 1)
        wanted += rises - falls
    return wanted


def _pearson(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 0 else 0.0


def _peak_between(values: Floats, best: int) -> float:
    """Where the parabola through the highest value and its neighbours has its top, in steps from it."""
    if not 0 < best < len(values) - 1:
        return 0.0
    before, here, after = values[best - 1 : best + 2]
    curvature = before - 2 * here + after
    return float(0.5 * (before - after) / curvature) if curvature < 0 else 0.0
