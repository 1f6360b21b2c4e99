"""The interval of a median over processes and blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgemeter_agent.statistics.percentiles import percentile

RESAMPLES = 1000
QUANTILES_A_BLOCK = 500
CHUNK_NUMBERS = 500_000
"""Of the bootstrap's largest array: 4 MB, whatever the plan."""

_Z_975 = 1.959964
# Student's t, 97.5 %, for 1 to 10 degrees of freedom.
_T_975 = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)


@dataclass(frozen=True, kw_only=True)
class Interval:
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Block:
    """Samples that were taken in one go in one process."""

    process: int
    samples: npt.NDArray[np.float64]


def median_interval(blocks: Sequence[Block], seed: int) -> Interval:
    """95 % confidence interval of the median latency, had other processes and other blocks been measured.

    Samples of one process are more alike than samples of two (address layout, allocation: Kalibera & Jones,
    "Rigorous Benchmarking in Reasonable Time", ISMM 2013), so single samples must not be resampled. The
    spread of the log median is that of a hierarchical bootstrap: processes with replacement, then blocks
    within each (Davison & Hinkley, "Bootstrap Methods and Their Application", 1997, section 3.8). With the
    three processes of a usual plan, percentiles of such a bootstrap cover far less than 95 %; the interval is
    therefore median * exp(+-t * s) with Student's t for processes - 1 degrees of freedom and s widened by
    sqrt(n / (n - 1)) (Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician
    69, 2015). With one process the blocks take the processes' place, and nothing is known of how processes
    differ; with one block, its order statistics give the interval, and nothing is known of how blocks differ.

    Raises ValueError for no samples.
    """
    blocks = [block for block in blocks if block.samples.size]
    if not blocks:
        raise ValueError("no samples to give an interval of")
    pooled = np.concatenate([block.samples for block in blocks])
    median = max(percentile(pooled, 50), 1e-9)
    if len(blocks) == 1:
        return _order_statistics(pooled)
    clusters = len({block.process for block in blocks})
    if clusters == 1:
        clusters = len(blocks)
        blocks = [Block(process=number, samples=block.samples) for number, block in enumerate(blocks)]
    spread = float(np.std(np.log(_bootstrap_medians(blocks, seed))))
    half = t_975(clusters - 1) * spread * math.sqrt(clusters / (clusters - 1))
    return Interval(low=median * math.exp(-half), high=median * math.exp(half))


def t_975(freedom: int) -> float:
    """Student's t, 97.5 % quantile: a table, and beyond it the expansion of Abramowitz & Stegun 26.7.5 (exact
    to three decimals from 11 on)."""
    if freedom < 1:
        raise ValueError(f"Student's t needs at least 1 degree of freedom, not {freedom}")
    if freedom <= len(_T_975):
        return _T_975[freedom - 1]
    z = _Z_975
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


def _bootstrap_medians(blocks: Sequence[Block], seed: int) -> npt.NDArray[np.float64]:
    """Medians of RESAMPLES resamplings: all samples are sorted once, and a resampling only weighs them
    anew."""
    thinned = [_quantiles(block.samples) for block in blocks]
    values = np.concatenate(thinned)
    owner = np.repeat(np.arange(len(blocks)), [len(part) for part in thinned])
    stands_for = [block.samples.size / len(part) for block, part in zip(blocks, thinned, strict=True)]
    order = np.argsort(values, kind="stable")
    values, owner = values[order], owner[order]

    weights = _draw(blocks, np.random.default_rng(seed)) * np.array(stands_for)
    medians = np.empty(RESAMPLES)
    rows = max(CHUNK_NUMBERS // len(values), 1)
    for start in range(0, RESAMPLES, rows):
        cumulative = np.cumsum(weights[start : start + rows, owner], axis=1)
        rank = np.count_nonzero(cumulative < cumulative[:, -1:] / 2, axis=1)
        medians[start : start + rows] = values[rank]
    return np.maximum(medians, 1e-9)


def _draw(blocks: Sequence[Block], random: np.random.Generator) -> npt.NDArray[np.float64]:
    """How often each block is drawn in each resampling: shape (RESAMPLES, blocks). As many processes as there
    are, with replacement, and of each as many blocks as it has, with replacement."""
    members: dict[int, list[int]] = {}
    for number, block in enumerate(blocks):
        members.setdefault(block.process, []).append(number)
    sizes = np.array([len(own) for own in members.values()])
    # A row a process; a short one is filled up with blocks that are never drawn.
    table = np.array([own + [0] * (sizes.max() - len(own)) for own in members.values()])
    processes = random.integers(len(sizes), size=(RESAMPLES, len(sizes)))
    picks = random.random((RESAMPLES, len(sizes), sizes.max())) * sizes[processes][..., None]
    drawn = table[processes[..., None], picks.astype(np.int64)]
    counts_too = np.arange(sizes.max()) < sizes[processes][..., None]
    counts = np.zeros((RESAMPLES, len(blocks)))
    resample = np.broadcast_to(np.arange(RESAMPLES)[:, None, None], drawn.shape)
    np.add.at(counts, (resample[counts_too], drawn[counts_too]), 1)
    return counts


def _quantiles(samples: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """At most 500 evenly ranked samples: bounds the work where a block holds 100,000 queries."""
    if samples.size <= QUANTILES_A_BLOCK:
        return samples
    ranks = (np.arange(QUANTILES_A_BLOCK) + 0.5) / QUANTILES_A_BLOCK * 100
    quantiles: npt.NDArray[np.float64] = np.percentile(samples, ranks, method="inverted_cdf")
    return quantiles


def _order_statistics(samples: npt.NDArray[np.float64]) -> Interval:
    """Normal approximation of the binomial ranks around the median (Hahn & Meeker, "Statistical Intervals",
    1991, section 5.2)."""
    ordered = np.sort(samples)
    count = ordered.size
    reach = _Z_975 * math.sqrt(count) / 2
    low = max(math.floor(count / 2 - reach), 0)
    high = min(math.ceil(count / 2 + reach), count - 1)
    return Interval(low=float(ordered[low]), high=float(ordered[high]))
