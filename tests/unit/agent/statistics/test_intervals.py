from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemeter_agent.statistics.intervals import Block, median_interval, t_975

TRUE_MEDIAN_NS = 1_000_000.0


def simulate(
    random: np.random.Generator, processes: int, blocks: int, samples: int, process_sd: float, block_sd: float
) -> list[Block]:
    """Latencies whose log has a part of the process, a part of the block and a skewed part of the query."""
    made = []
    for process in range(processes):
        of_process = random.normal(0, process_sd)
        for _ in range(blocks):
            of_block = random.normal(0, block_sd)
            noise = random.gamma(2.0, 0.02, samples)
            # the median of gamma(2, scale) is 1.67835 * scale
            log = of_process + of_block + noise - 1.67835 * 0.02
            made.append(Block(process=process, samples=TRUE_MEDIAN_NS * np.exp(log)))
    return made


@pytest.mark.parametrize(
    ("processes", "blocks", "process_sd", "block_sd"),
    [
        # the standard plan where processes differ most
        (3, 4, 0.02, 0.005),
        # where blocks differ most
        (3, 4, 0.002, 0.02),
        # where nothing but queries differ
        (3, 4, 0.0, 0.0),
        # the publication plan
        (5, 8, 0.02, 0.01),
        # the quick plan: blocks of one process, whose own part is no part of what is claimed
        (1, 4, 0.0, 0.02),
    ],
)
def test_the_interval_covers_the_true_median(
    processes: int, blocks: int, process_sd: float, block_sd: float
) -> None:
    random = np.random.default_rng(20)
    runs = 300
    covered = 0
    for run in range(runs):
        made = simulate(random, processes, blocks, 60, process_sd, block_sd)
        interval = median_interval(made, seed=run)
        covered += interval.low <= TRUE_MEDIAN_NS <= interval.high
    # 95 % stated; 300 runs tell it to +-2.5 %. Beyond is allowed upwards: where processes do not differ,
    # three of them still have only two degrees of freedom.
    assert 0.92 <= covered / runs <= 1.0


def test_more_processes_narrow_it() -> None:
    random = np.random.default_rng(1)
    few = median_interval(simulate(random, 3, 4, 100, 0.01, 0.01), seed=0)
    many = median_interval(simulate(random, 12, 4, 100, 0.01, 0.01), seed=0)
    assert many.high - many.low < few.high - few.low


blocks_of_any_size = st.lists(
    st.tuples(st.integers(0, 3), st.lists(st.integers(1, 10**9), min_size=0, max_size=30)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=30, deadline=None)
@given(blocks_of_any_size, st.integers(0, 2**64 - 1))
def test_any_blocks_give_an_interval_around_the_median(
    described: list[tuple[int, list[int]]], seed: int
) -> None:
    blocks = [Block(process=process, samples=np.array(samples, np.float64)) for process, samples in described]
    pooled = np.concatenate([block.samples for block in blocks])
    if not pooled.size:
        with pytest.raises(ValueError, match="no samples"):
            median_interval(blocks, seed)
        return
    interval = median_interval(blocks, seed)
    median = float(np.percentile(pooled, 50, method="inverted_cdf"))
    assert 0 < interval.low <= median * (1 + 1e-12)
    assert interval.high >= median * (1 - 1e-12)
    again = median_interval(blocks, seed)
    assert (again.low, again.high) == (interval.low, interval.high)


def test_long_blocks_are_thinned_without_moving_the_interval() -> None:
    random = np.random.default_rng(3)
    long = simulate(random, 3, 2, 50_000, 0.01, 0.0)
    thinned = [Block(process=block.process, samples=np.sort(block.samples)[50::100]) for block in long]
    a, b = median_interval(long, seed=5), median_interval(thinned, seed=5)
    assert a.low == pytest.approx(b.low, rel=1e-3)
    assert a.high == pytest.approx(b.high, rel=1e-3)


@pytest.mark.parametrize(
    ("freedom", "expected"),
    [(1, 12.7062), (2, 4.3027), (10, 2.2281), (11, 2.2010), (20, 2.0860), (1000, 1.9623)],
)
def test_students_t(freedom: int, expected: float) -> None:
    assert t_975(freedom) == pytest.approx(expected, abs=5e-4)


def test_students_t_needs_freedom() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        t_975(0)
