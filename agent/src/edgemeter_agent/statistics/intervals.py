"""Intervals of a latency percentile over processes and blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgemeter_agent.statistics.bootstrap import (
    LEAST_NS,
    Block,
    draw,
    resampled_percentiles,
    spread_apart,
)
from edgemeter_agent.statistics.distributions import student_t_quantile
from edgemeter_agent.statistics.order_statistics import Bounds, order_statistic_interval
from edgemeter_agent.statistics.percentiles import percentile

__all__ = ["Block", "Interval", "median_interval", "percentile_interval", "percentile_intervals", "t_975"]


MEDIAN = 50.0


@dataclass(frozen=True, kw_only=True)
class Interval:
    low: float
    high: float


def percentile_intervals(blocks: Sequence[Block], percents: Sequence[float], seed: int) -> list[Bounds]:
    """95 % confidence intervals of latency percentiles, had other processes, blocks and queries been taken.

    Samples of one process are more alike than samples of two (address layout, allocation: Kalibera & Jones,
    "Rigorous Benchmarking in Reasonable Time", ISMM 2013), so single samples must not be resampled. The
    spread of the log percentile is that of a bootstrap of the processes, widened by Student's t for the few
    that there are (`draw`, `Drawing.half_width`): percentile * exp(+-t * s). With one process the blocks take
    the processes' place, and nothing is known of how processes differ; with one block nothing is known of how
    blocks differ.

    Two things make the interval of a percentile in the tail wider. Its bootstrap is taken of levels that are
    spread apart (`spread_apart`), and its interval reaches around the percentile of these, too. And a
    bootstrap of the few samples in a tail sees too little of it, so each end is at least as far out as that
    of the order statistics of the pooled samples, and None where these can't give it.

    In simulations (tests/benchmarks/simulations.py) it covers the truth in 95 % of jobs or more, but for p90
    and p95 where processes differ as much as single queries do: there it is 88 to 95 %, since three or five
    levels tell little of how far all of them reach.

    Raises ValueError for no samples.
    """
    blocks = [block for block in blocks if block.samples.size]
    if not blocks:
        raise ValueError("no samples to give an interval of")
    ordered = _pooled(blocks)
    by_order = [order_statistic_interval(ordered, percent) for percent in percents]
    if len(blocks) == 1:
        return by_order
    drawing = draw([block.process for block in blocks], seed)
    apart = spread_apart(blocks)
    spread = _pooled(apart)
    intervals = []
    for percent, ends in zip(percents, by_order, strict=True):
        tail = percent != MEDIAN
        values = resampled_percentiles(apart if tail else blocks, drawing, percent)
        factor = math.exp(min(drawing.half_width(np.log(np.maximum(values, LEAST_NS))), 700.0))
        around = [max(percentile(ordered, percent), LEAST_NS)]
        if tail:
            around.append(max(percentile(spread, percent), LEAST_NS))
        intervals.append(
            Bounds(
                low=None if ends.low is None else min(ends.low, min(around) / factor),
                high=None if ends.high is None else max(ends.high, max(around) * factor),
            )
        )
    return intervals


def percentile_interval(blocks: Sequence[Block], percent: float, seed: int) -> Bounds:
    """The interval of one percentile: see percentile_intervals."""
    return percentile_intervals(blocks, [percent], seed)[0]


def median_interval(blocks: Sequence[Block], seed: int) -> Interval:
    """The interval of the median: see percentile_intervals. An end that fewer than 6 samples can't give is
    the smallest or the largest of them."""
    ends = percentile_interval(blocks, MEDIAN, seed)
    smallest = min(float(block.samples.min()) for block in blocks if block.samples.size)
    largest = max(float(block.samples.max()) for block in blocks if block.samples.size)
    return Interval(
        low=smallest if ends.low is None else ends.low,
        high=largest if ends.high is None else ends.high,
    )


def t_975(freedom: int) -> float:
    """Student's t, 97.5 % quantile. Raises ValueError for less than one degree of freedom."""
    return student_t_quantile(0.975, freedom)


def _pooled(blocks: Sequence[Block]) -> npt.NDArray[np.float64]:
    """All samples, sorted."""
    return np.sort(np.concatenate([block.samples for block in blocks]).astype(np.float64))
