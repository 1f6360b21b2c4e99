"""Intervals of a latency percentile over processes and blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgemeter_agent.statistics.bootstrap import Block, draw, resampled_percentiles
from edgemeter_agent.statistics.distributions import student_t_quantile
from edgemeter_agent.statistics.order_statistics import Bounds, order_statistic_interval
from edgemeter_agent.statistics.percentiles import percentile

__all__ = ["Block", "Interval", "median_interval", "percentile_interval", "percentile_intervals", "t_975"]

LEAST_NS = 1e-9
"""Stands for a latency of 0, which has no logarithm."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    low: float
    high: float


def percentile_intervals(blocks: Sequence[Block], percents: Sequence[float], seed: int) -> list[Bounds]:
    """95 % confidence intervals of latency percentiles, had other processes, blocks and queries been taken.

    Samples of one process are more alike than samples of two (address layout, allocation: Kalibera & Jones,
    "Rigorous Benchmarking in Reasonable Time", ISMM 2013), so single samples must not be resampled. The
    spread of the log percentile is that of a hierarchical bootstrap, widened by Student's t for the few
    processes that there are (`Drawing.half_width`): percentile * exp(+-t * s). With one process the blocks
    take the processes' place, and nothing is known of how processes differ; with one block nothing is known
    of how blocks differ.

    A bootstrap of the few samples in a tail sees too little of it. So each end is at least as far out as that
    of the order statistics of the pooled samples, and None where these can't give it.

    Raises ValueError for no samples.
    """
    blocks = [block for block in blocks if block.samples.size]
    if not blocks:
        raise ValueError("no samples to give an interval of")
    ordered = np.sort(np.concatenate([block.samples for block in blocks]).astype(np.float64))
    by_order = [order_statistic_interval(ordered, percent) for percent in percents]
    if len(blocks) == 1:
        return by_order
    drawing = draw([block.process for block in blocks], seed)
    logs = np.log(np.maximum(resampled_percentiles(blocks, drawing, percents), LEAST_NS))
    intervals = []
    for column, (percent, ends) in enumerate(zip(percents, by_order, strict=True)):
        value = max(percentile(ordered, percent), LEAST_NS)
        factor = math.exp(min(drawing.half_width(logs[:, column]), 700.0))
        intervals.append(
            Bounds(
                low=None if ends.low is None else min(ends.low, value / factor),
                high=None if ends.high is None else max(ends.high, value * factor),
            )
        )
    return intervals


def percentile_interval(blocks: Sequence[Block], percent: float, seed: int) -> Bounds:
    """The interval of one percentile: see percentile_intervals."""
    return percentile_intervals(blocks, [percent], seed)[0]


def median_interval(blocks: Sequence[Block], seed: int) -> Interval:
    """The interval of the median: see percentile_intervals. An end that fewer than 6 samples can't give is
    the smallest or the largest of them."""
    ends = percentile_interval(blocks, 50, seed)
    smallest = min(float(block.samples.min()) for block in blocks if block.samples.size)
    largest = max(float(block.samples.max()) for block in blocks if block.samples.size)
    return Interval(
        low=smallest if ends.low is None else ends.low,
        high=largest if ends.high is None else ends.high,
    )


def t_975(freedom: int) -> float:
    """Student's t, 97.5 % quantile. Raises ValueError for less than one degree of freedom."""
    return student_t_quantile(0.975, freedom)
