"""How often an interval that is stated at 95 % holds the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgemeter_agent.statistics.bootstrap import Block
from edgemeter_agent.statistics.comparison import compare
from edgemeter_agent.statistics.summaries import PERCENTS, percentile_summaries
from edgemeter_agent.statistics.throughput import throughput
from tests.benchmarks.simulated.laboratory import (
    PUBLICATION,
    QUICK,
    STANDARD,
    Board,
    Plan,
    interleaved,
    measure,
    truth,
)
from tests.benchmarks.simulated.rows import Row

LEAST = 0.95
LEAST_WHERE_LEVELS_RULE = 0.85
"""Of a percentile in the tail, where processes or blocks differ as much as single queries do."""

Case = tuple[str, Plan, Board]

CASES: tuple[Case, ...] = (
    ("standard", STANDARD, Board()),
    ("standard, processes differ by 1 %", STANDARD, Board(process_sd=0.01)),
    ("standard, processes differ by 2 %", STANDARD, Board(process_sd=0.02)),
    ("standard, blocks differ by 2 %", STANDARD, Board(block_sd=0.02)),
    ("standard, only queries differ", STANDARD, Board(process_sd=0.0, block_sd=0.0)),
    ("standard, heavy tail", STANDARD, Board(tail_share=0.1, tail_scale=0.3)),
    ("publication", PUBLICATION, Board()),
    ("publication, processes differ by 1 %", PUBLICATION, Board(process_sd=0.01)),
    ("publication, processes differ by 2 %", PUBLICATION, Board(process_sd=0.02)),
    ("quick, one process", QUICK, Board(process_sd=0.0)),
    ("quick, blocks differ by 1 %", QUICK, Board(process_sd=0.0, block_sd=0.01)),
    ("quick, blocks differ by 2 %", QUICK, Board(process_sd=0.0, block_sd=0.02)),
)


def percentiles(runs: int, cases: Sequence[Case] = CASES) -> list[Row]:
    """Of p50 to p99.9, two-sided, an end that is absent being infinitely far; of the throughput; and of
    LoadGen's bound, which is stated at 99 % for independent queries, and is not widened for blocks."""
    rows = []
    for name, plan, board in cases:
        true = truth(board)
        at = {percent: float(np.percentile(true, percent, method="inverted_cdf")) for percent in PERCENTS}
        true_rate = 1e9 / float(true.mean())
        random = np.random.default_rng(7)
        covered = dict.fromkeys(PERCENTS, 0)
        bounded, given = dict.fromkeys(PERCENTS, 0), dict.fromkeys(PERCENTS, 0)
        rate_covered = 0
        for run in range(runs):
            measured = measure(random, board, plan, [0.0], interleaved(1, plan, run))[0]
            blocks = [Block(process=block.process, samples=block.latency_ns) for block in measured]
            for one in percentile_summaries(blocks, run):
                low = one.ci95_low_ns if one.HasField("ci95_low_ns") else 0.0
                high = one.ci95_high_ns if one.HasField("ci95_high_ns") else math.inf
                covered[one.percent] += low <= at[one.percent] <= high
                if one.HasField("early_stopping_ns"):
                    given[one.percent] += 1
                    bounded[one.percent] += at[one.percent] <= one.early_stopping_ns
            rate = throughput(measured, run)
            rate_covered += rate.ci95_low <= true_rate <= rate.ci95_high
        rows += [
            Row(
                group="coverage",
                what=f"p{percent:g}: {name}",
                runs=runs,
                hits=hits,
                least=LEAST_WHERE_LEVELS_RULE if percent > 50 and levels_rule(board) else LEAST,
            )
            for percent, hits in covered.items()
        ]
        rows.append(
            Row(group="coverage", what=f"throughput: {name}", runs=runs, hits=rate_covered, least=LEAST)
        )
        rows += [
            Row(
                group="LoadGen",
                what=f"p{percent:g} not above early stopping's bound: {name}",
                runs=given[percent],
                hits=bounded[percent],
                informative=True,
            )
            for percent in PERCENTS
            if given[percent]
        ]
    return rows


def levels_rule(board: Board) -> bool:
    return math.hypot(board.process_sd, board.block_sd) >= board.query_sd


def ratios(runs: int, cases: Sequence[Case] = CASES) -> list[Row]:
    """Of the ratio to the baseline: all intervals of a job together."""
    rows = []
    for name, plan, board in cases:
        for variants in (2, 4):
            random = np.random.default_rng(11)
            effects = [0.0, -0.03, 0.5, 0.0][:variants]
            covered = 0
            for run in range(runs):
                baseline, *others = measure(random, board, plan, effects, interleaved(variants, plan, run))
                found = compare(baseline, {str(number): one for number, one in enumerate(others, 1)})
                covered += all(
                    one.ci95_low <= math.exp(effects[int(number)]) <= one.ci95_high
                    for number, one in found.items()
                )
            what = f"ratios of {variants} variants: {name}"
            rows.append(Row(group="coverage", what=what, runs=runs, hits=covered, least=LEAST))
    return rows
