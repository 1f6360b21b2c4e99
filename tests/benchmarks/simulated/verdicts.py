"""How often variants are told apart: where there is nothing to tell, and where there is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgemeter_agent.statistics.comparison import compare
from edgemeter_agent.statistics.distributions import student_t_two_sided
from edgemeter_protos.v1 import result_pb2
from tests.benchmarks.simulated.laboratory import (
    PUBLICATION,
    QUICK,
    STANDARD,
    Board,
    Plan,
    SimulatedBlock,
    back_to_back,
    exponential,
    interleaved,
    linear,
    measure,
    steady,
)
from tests.benchmarks.simulated.rows import Row

FASTER_3_PERCENT = math.log(0.97)


def outcomes(
    board: Board, plan: Plan, effects: Sequence[float], runs: int, seed: int = 1
) -> list[list[result_pb2.Outcome.ValueType]]:
    """Of each run, the outcome of each variant but the first, measured as the engine does it."""
    random = np.random.default_rng(seed)
    found = []
    for run in range(runs):
        order = interleaved(len(effects), plan, run)
        baseline, *others = measure(random, board, plan, effects, order)
        compared = compare(baseline, {str(number): blocks for number, blocks in enumerate(others)})
        found.append([one.outcome for one in compared.values()])
    return found


def scripted_outcomes(
    board: Board, plan: Plan, effects: Sequence[float], runs: int, seed: int = 1
) -> list[result_pb2.Outcome.ValueType]:
    """The same by a script: one variant after the other, and Welch's t-test of the blocks' medians."""
    random = np.random.default_rng(seed)
    order = back_to_back(len(effects), plan)
    return [welch(*measure(random, board, plan, effects, order)) for _ in range(runs)]


def welch(
    baseline: Sequence[SimulatedBlock], variant: Sequence[SimulatedBlock]
) -> result_pb2.Outcome.ValueType:
    a, b = ([math.log(np.median(block.latency_ns)) for block in blocks] for blocks in (baseline, variant))
    parts = [float(np.var(sample, ddof=1)) / len(sample) for sample in (a, b)]
    difference = float(np.mean(b) - np.mean(a))
    freedom = sum(parts) ** 2 / sum(part**2 / (len(a) - 1) for part in parts)
    if student_t_two_sided(difference / math.sqrt(sum(parts)), freedom) >= 0.05:
        return result_pb2.OUTCOME_CANNOT_TELL
    return result_pb2.OUTCOME_FASTER if difference < 0 else result_pb2.OUTCOME_SLOWER


def alike(runs: int) -> list[Row]:
    """A/A: the same model under several names."""
    cases = [
        ("standard, 2 variants", STANDARD, 2, Board()),
        ("standard, 4 variants, any of them", STANDARD, 4, Board()),
        ("standard, 2 variants, processes differ by 2 %", STANDARD, 2, Board(process_sd=0.02)),
        ("standard, 2 variants, blocks differ by 2 %", STANDARD, 2, Board(block_sd=0.02)),
        ("standard, 2 variants, linear drift of 8 %", STANDARD, 2, Board(drift=linear(0.08))),
        ("standard, 4 variants, warming up by 8 %", STANDARD, 4, Board(drift=exponential(0.08))),
        ("publication, 4 variants", PUBLICATION, 4, Board()),
        ("quick, 2 variants, one process", QUICK, 2, Board(process_sd=0.0)),
        ("quick, 2 variants, linear drift of 8 %", QUICK, 2, Board(process_sd=0.0, drift=linear(0.08))),
    ]
    rows = []
    for what, plan, variants, board in cases:
        found = outcomes(board, plan, [0.0] * variants, runs)
        told = sum(any(one != result_pb2.OUTCOME_CANNOT_TELL for one in run) for run in found)
        rows.append(Row(group="A/A", what=what, runs=runs, hits=told, most=0.05))
    for what, drift in (("no drift", steady), ("linear drift of 8 %", linear(0.08))):
        scripted = scripted_outcomes(Board(drift=drift), STANDARD, [0.0, 0.0], runs)
        told = sum(one != result_pb2.OUTCOME_CANNOT_TELL for one in scripted)
        rows.append(
            Row(group="A/A", what=f"back to back, t-test, {what}", runs=runs, hits=told, informative=True)
        )
    return rows


def drifting(runs: int) -> list[Row]:
    """A variant that is 3 % faster, on a board that gets slower meanwhile."""
    effects = [0.0, FASTER_3_PERCENT]
    rows = []
    for name, drift in (("linear drift of 8 %", linear(0.08)), ("warming up by 8 %", exponential(0.08))):
        board = Board(drift=drift)
        for plan_name, plan in (("standard", STANDARD), ("publication", PUBLICATION)):
            found = outcomes(board, plan, effects, runs)
            hits = sum(run[0] == result_pb2.OUTCOME_FASTER for run in found)
            wrong = sum(run[0] == result_pb2.OUTCOME_SLOWER for run in found)
            what = f"{plan_name}, {name}"
            rows.append(Row(group="3 % faster", what=f"{what}: found", runs=runs, hits=hits, least=0.9))
            rows.append(
                Row(group="3 % faster", what=f"{what}: called slower", runs=runs, hits=wrong, most=0.025)
            )
        scripted = scripted_outcomes(board, STANDARD, effects, runs)
        for outcome, said in (
            (result_pb2.OUTCOME_FASTER, "found"),
            (result_pb2.OUTCOME_SLOWER, "called slower"),
        ):
            rows.append(
                Row(
                    group="3 % faster",
                    what=f"back to back, t-test, {name}: {said}",
                    runs=runs,
                    hits=sum(one == outcome for one in scripted),
                    informative=True,
                )
            )
    return rows


def power(runs: int) -> list[Row]:
    """Where 3 % are no longer found: the more processes differ, the less three of them tell."""
    rows = []
    for plan_name, plan in (("standard", STANDARD), ("publication", PUBLICATION)):
        for process_sd in (0.003, 0.005, 0.01, 0.02):
            for variants in (2, 4):
                effects = [0.0, *[FASTER_3_PERCENT] * (variants - 1)]
                board = Board(process_sd=process_sd, drift=linear(0.08))
                found = outcomes(board, plan, effects, runs)
                hits = sum(run[0] == result_pb2.OUTCOME_FASTER for run in found)
                what = f"{plan_name}, {variants} variants, processes differ by {process_sd:.1%}: found"
                rows.append(Row(group="power", what=what, runs=runs, hits=hits, informative=True))
    return rows
