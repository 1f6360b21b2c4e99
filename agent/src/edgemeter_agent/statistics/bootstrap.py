"""The bootstrap of whole processes, with all their blocks; of one process, its blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgemeter_agent.statistics.distributions import student_t_quantile

RESAMPLES = 1000
LEAST_NS = 1e-9
"""Stands for a latency of 0, which has no logarithm."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Samples that were taken in one go in one process."""

    process: int
    samples: npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How often each block is drawn in each resampling."""

    counts: npt.NDArray[np.float64]
    """Shape (RESAMPLES, blocks)."""
    clusters: int
    """Processes; with one process, its blocks."""

    def half_width(self, values: npt.NDArray[np.float64]) -> float:
        """Half of the 95 % interval of a statistic that took these values, float64 [RESAMPLES].

        With the three processes of a usual plan, percentiles of a bootstrap cover far less than 95 %. So it
        is Student's t for clusters - 1 degrees of freedom times the standard deviation, which a bootstrap of
        n clusters makes too small by sqrt((n - 1) / n) (Hesterberg, "What Teachers Should Know About the
        Bootstrap", The American Statistician 69, 2015).
        """
        freedom = self.clusters - 1
        widened = float(np.std(values)) * math.sqrt(self.clusters / freedom)
        return student_t_quantile(0.975, freedom) * widened


def draw(processes: Sequence[int], seed: int) -> Drawing:
    """Resamples blocks, given by the process of each: as many processes as there are, with replacement, each
    with all its blocks.

    Processes are what is independent; how their blocks and queries differ is in how they differ. To draw
    blocks within the processes once more would count that twice (Davison & Hinkley, "Bootstrap Methods and
    Their Application", 1997, section 3.8): intervals were a third too wide. With one process its blocks take
    the processes' place, and nothing is known of how processes differ. Raises ValueError for a single block.
    """
    clusters = clusters_of(processes)
    count = max(clusters) + 1
    if count < 2:
        raise ValueError("one block can't be resampled")
    times = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    return Drawing(counts=times[:, clusters].astype(np.float64), clusters=count)


def clusters_of(processes: Sequence[int]) -> list[int]:
    """For each block, the number, from 0, of what is independent: its process, or itself where there is one
    process."""
    places = {process: number for number, process in enumerate(dict.fromkeys(processes))}
    if len(places) == 1:
        return list(range(len(processes)))
    return [places[process] for process in processes]


def spread_apart(blocks: Sequence[Block]) -> list[Block]:
    """The blocks with the levels of the processes (of one process, of its blocks) farther apart, by
    sqrt(n / (n - 1)) on the logarithm: the levels of n of them differ by so much less than those of all.

    A percentile in the tail is higher where levels differ more, so that few of them show it too low.
    """
    clusters = clusters_of([block.process for block in blocks])
    logs = np.array([float(np.median(np.log(np.maximum(block.samples, LEAST_NS)))) for block in blocks])
    count = max(clusters) + 1
    sizes = np.bincount(clusters, minlength=count)
    levels = np.bincount(clusters, weights=logs, minlength=count) / sizes
    moves = (levels - levels.mean()) * (math.sqrt(count / (count - 1)) - 1)
    return [
        Block(process=block.process, samples=block.samples * math.exp(moves[cluster]))
        for block, cluster in zip(blocks, clusters, strict=True)
    ]


def resampled_percentiles(
    blocks: Sequence[Block], drawing: Drawing, percent: float
) -> npt.NDArray[np.float64]:
    """The nearest-rank percentile of each resampling, float64 [RESAMPLES].

    A resampling only weighs the samples anew, so none is drawn: the percentile is looked for by bisection of
    the sorted samples, and how many of a resampling lie below is a weighted sum over the blocks.
    """
    ordered = [np.sort(block.samples) for block in blocks]
    pooled = np.sort(np.concatenate(ordered))
    drawn = drawing.counts @ np.array([len(own) for own in ordered], np.float64)
    # A little less, so that a rank that is whole stays so after rounding.
    wanted = drawn * (percent / 100) * (1 - 1e-12)
    low = np.zeros(RESAMPLES, np.int64)
    high = np.full(RESAMPLES, len(pooled) - 1)
    while np.any(low < high):
        middle = (low + high) // 2
        values = pooled[middle]
        below = np.zeros(RESAMPLES)
        for number, own in enumerate(ordered):
            below += drawing.counts[:, number] * np.searchsorted(own, values, side="right")
        enough = below >= wanted
        high = np.where(enough, middle, high)
        low = np.where(enough, low, middle + 1)
    found: npt.NDArray[np.float64] = pooled[low]
    return found
