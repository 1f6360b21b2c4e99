"""The hierarchical bootstrap: processes with replacement, then blocks within each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgemeter_agent.statistics.distributions import student_t_quantile

RESAMPLES = 1000


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
    """Resamples blocks, given by the process of each: as many processes as there are, with replacement, and
    of each as many blocks as it has, with replacement.

    Davison & Hinkley, "Bootstrap Methods and Their Application", 1997, section 3.8. With one process the
    blocks take the processes' place, and nothing is known of how processes differ. Needs two blocks.
    """
    if len(processes) < 2:
        raise ValueError("one block can't be resampled")
    if len(set(processes)) == 1:
        processes = range(len(processes))
    members: dict[int, list[int]] = {}
    for number, process in enumerate(processes):
        members.setdefault(process, []).append(number)
    random = np.random.default_rng(seed)
    sizes = np.array([len(own) for own in members.values()])
    # A row a process; a short one is filled up with blocks that are never drawn.
    table = np.array([own + [0] * (sizes.max() - len(own)) for own in members.values()])
    drawn_processes = random.integers(len(sizes), size=(RESAMPLES, len(sizes)))
    picks = random.random((RESAMPLES, len(sizes), sizes.max())) * sizes[drawn_processes][..., None]
    drawn = table[drawn_processes[..., None], picks.astype(np.int64)]
    counts_too = np.arange(sizes.max()) < sizes[drawn_processes][..., None]
    counts = np.zeros((RESAMPLES, len(processes)))
    resample = np.broadcast_to(np.arange(RESAMPLES)[:, None, None], drawn.shape)
    np.add.at(counts, (resample[counts_too], drawn[counts_too]), 1)
    return Drawing(counts=counts, clusters=len(sizes))


def resampled_percentiles(
    blocks: Sequence[Block], drawing: Drawing, percents: Sequence[float]
) -> npt.NDArray[np.float64]:
    """Nearest-rank percentiles of each resampling, shape (RESAMPLES, percents).

    A resampling only weighs the samples anew, so none is drawn: each percentile is looked for by bisection of
    the sorted samples, and how many of a resampling lie below is a weighted sum over the blocks.
    """
    ordered = [np.sort(block.samples) for block in blocks]
    pooled = np.sort(np.concatenate(ordered))
    drawn = drawing.counts @ np.array([len(own) for own in ordered], np.float64)
    # A little less, so that a rank that is whole stays so after rounding.
    wanted = drawn[:, None] * (np.asarray(percents) / 100) * (1 - 1e-12)
    low = np.zeros(wanted.shape, np.int64)
    high = np.full(wanted.shape, len(pooled) - 1)
    while np.any(low < high):
        middle = (low + high) // 2
        values = pooled[middle]
        below = np.zeros(wanted.shape)
        for number, own in enumerate(ordered):
            below += drawing.counts[:, number, None] * np.searchsorted(own, values, side="right")
        enough = below >= wanted
        high = np.where(enough, middle, high)
        low = np.where(enough, low, middle + 1)
    found: npt.NDArray[np.float64] = pooled[low]
    return found
