from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemeter_agent.statistics.bootstrap import Block, draw, spread_apart
from edgemeter_agent.statistics.intervals import median_interval, percentile_interval
from edgemeter_agent.statistics.percentiles import percentile
from edgemeter_agent.statistics.summaries import PERCENTS, percentile_summaries
from edgemeter_agent.statistics.throughput import throughput
from tests.benchmarks.simulated import coverage
from tests.benchmarks.simulated.laboratory import (
    PUBLICATION,
    QUICK,
    STANDARD,
    Board,
    Plan,
    interleaved,
    measure,
)

RUNS = 200


def simulate(seed: int, plan: Plan = STANDARD, board: Board | None = None) -> list[Block]:
    measured = measure(np.random.default_rng(seed), board or Board(), plan, [0.0], interleaved(1, plan, seed))
    return [Block(process=block.process, samples=block.latency_ns) for block in measured[0]]


def test_what_is_said_of_each_percentile() -> None:
    blocks = simulate(1)
    pooled = np.sort(np.concatenate([block.samples for block in blocks]))
    found = percentile_summaries(blocks, seed=3)
    assert [one.percent for one in found] == list(PERCENTS) == [50, 90, 95, 99, 99.9]
    for one in found:
        assert one.value_ns == percentile(pooled, one.percent)
        assert 0 < one.ci95_low_ns <= one.value_ns
    median = median_interval(blocks, seed=3)
    assert (found[0].ci95_low_ns, found[0].ci95_high_ns) == (median.low, median.high)
    # 1,200 samples: too few for p99.9's upper end (3,688), and for its early stopping (6,636)
    assert [one.HasField("ci95_high_ns") for one in found] == [True, True, True, True, False]
    assert [one.HasField("early_stopping_ns") for one in found] == [True, True, True, True, False]
    for one in found[:4]:
        assert one.ci95_high_ns >= one.value_ns
        assert one.early_stopping_ns > one.value_ns


def test_means_of_several_queries_have_no_early_stopping() -> None:
    found = percentile_summaries(simulate(1), seed=3, batch_queries=8)
    assert not any(one.HasField("early_stopping_ns") for one in found)


def test_one_block_has_its_order_statistics() -> None:
    block = Block(process=0, samples=np.arange(1.0, 101.0))
    found = percentile_summaries([block], seed=0)
    assert (found[0].ci95_low_ns, found[0].ci95_high_ns) == (40, 61)
    assert not found[3].HasField("ci95_high_ns")


def test_no_samples() -> None:
    with pytest.raises(ValueError, match="no samples"):
        percentile_summaries([Block(process=0, samples=np.zeros(0))], seed=0)


def test_an_interval_is_never_inside_that_of_the_order_statistics() -> None:
    for seed in range(5):
        blocks = simulate(seed, board=Board(process_sd=0.0, block_sd=0.0))
        pooled = Block(process=0, samples=np.concatenate([block.samples for block in blocks]))
        for percent in PERCENTS[:4]:
            ours = percentile_interval(blocks, percent, seed)
            independent = percentile_interval([pooled], percent, seed)
            assert ours.low is not None
            assert ours.high is not None
            assert independent.low is not None
            assert independent.high is not None
            assert ours.low <= independent.low
            assert ours.high >= independent.high


sizes = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), min_size=1, max_size=8)


@settings(max_examples=30, deadline=None)
@given(sizes, st.integers(0, 2**64 - 1))
def test_any_blocks_have_summaries_in_order(described: list[tuple[int, int]], seed: int) -> None:
    random = np.random.default_rng(seed)
    blocks = [Block(process=process, samples=random.gamma(2, 100, size)) for process, size in described]
    if not any(block.samples.size for block in blocks):
        return
    found = percentile_summaries(blocks, seed)
    values = [one.value_ns for one in found]
    assert values == sorted(values)
    for one in found:
        assert not one.HasField("ci95_low_ns") or 0 < one.ci95_low_ns <= one.value_ns
        assert not one.HasField("ci95_high_ns") or one.ci95_high_ns >= one.value_ns
    assert percentile_summaries(blocks, seed) == found


def test_the_tail_of_long_blocks_is_kept() -> None:
    random = np.random.default_rng(3)
    long = [Block(process=p, samples=random.lognormal(0, 0.3, 40_000) * (1 + 0.01 * p)) for p in range(3)]
    for percent in (50.0, 99.0, 99.9):
        ends = percentile_interval([*long, *long], percent, seed=1)
        value = percentile(np.concatenate([block.samples for block in long]), percent)
        assert ends.low is not None
        assert ends.high is not None
        # Processes differ by 1 %; the queries of 120,000 by less.
        assert 0.92 * value < ends.low < value < ends.high < 1.08 * value


@pytest.mark.parametrize(
    ("plan", "board"),
    [
        (STANDARD, Board(process_sd=0.01)),
        (STANDARD, Board(process_sd=0.02)),
        (STANDARD, Board(process_sd=0.0, block_sd=0.0, tail_share=0.1, tail_scale=0.3)),
        (QUICK, Board(process_sd=0.0, block_sd=0.02)),
        pytest.param(PUBLICATION, Board(), marks=pytest.mark.slow),
    ],
)
def test_every_interval_covers_its_truth(plan: Plan, board: Board) -> None:
    for row in coverage.percentiles(RUNS, (("", plan, board),)):
        if not row.informative:
            # 95 % stated, and less where levels differ most; 200 runs tell it to +-3 %.
            assert row.rate >= row.least - 0.03, row.what


@dataclass(frozen=True, kw_only=True)
class Worked:
    process: int
    samples: int
    duration_ns: int


def test_throughput_is_all_samples_over_all_time() -> None:
    found = throughput(
        [
            Worked(process=0, samples=100, duration_ns=1_000_000_000),
            Worked(process=1, samples=300, duration_ns=2_000_000_000),
        ],
        seed=1,
    )
    assert found.samples_per_s == pytest.approx(400 / 3)
    assert 0 < found.ci95_low < 100
    assert found.ci95_high > 150


def test_one_block_has_a_throughput_and_no_interval() -> None:
    found = throughput([Worked(process=0, samples=100, duration_ns=500_000_000)], seed=1)
    assert (found.samples_per_s, found.ci95_low, found.ci95_high) == (200, 0, 0)


def test_blocks_that_took_no_time_have_none() -> None:
    with pytest.raises(ValueError, match="no throughput"):
        throughput([Worked(process=0, samples=0, duration_ns=0)], seed=1)


def test_a_resampling_draws_whole_processes() -> None:
    drawing = draw([0, 0, 7, 7, 7, 2], seed=5)
    assert drawing.clusters == 3
    assert drawing.counts.shape == (1000, 6)
    assert np.all(drawing.counts[:, 0] == drawing.counts[:, 1])
    assert np.all(drawing.counts[:, 2:5] == drawing.counts[:, 2:3])
    assert set(drawing.counts[:, [0, 2, 5]].sum(axis=1)) == {3}
    # One process: its blocks are drawn, as many as there are.
    alone = draw([4, 4, 4], seed=5)
    assert alone.clusters == 3
    assert set(alone.counts.sum(axis=1)) == {3}
    assert np.any(alone.counts[:, 0] != alone.counts[:, 1])


def test_levels_are_spread_by_as_much_as_few_of_them_hide() -> None:
    blocks = [Block(process=process, samples=np.full(4, level)) for process, level in ((0, 80.0), (1, 125.0))]
    low, high = spread_apart(blocks)
    # Two processes: sqrt(2); 80 and 125 lie around 100, by a factor of 1.25.
    assert low.samples == pytest.approx(np.full(4, 100 / 1.25 ** math.sqrt(2)))
    assert high.samples == pytest.approx(np.full(4, 100 * 1.25 ** math.sqrt(2)))


def test_one_block_is_not_resampled() -> None:
    with pytest.raises(ValueError, match="one block"):
        draw([0], seed=1)
