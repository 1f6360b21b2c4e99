from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemeter_agent.statistics.comparison import compare, difference, holm
from edgemeter_protos.v1 import result_pb2
from tests.benchmarks.simulated import coverage, verdicts
from tests.benchmarks.simulated.laboratory import (
    PUBLICATION,
    QUICK,
    STANDARD,
    Board,
    Plan,
    SimulatedBlock,
    exponential,
    linear,
)

Cell = tuple[int, int, float]


def blocks(cells: Sequence[Cell]) -> list[SimulatedBlock]:
    """Of (process, pass, median in ns)."""
    return [
        SimulatedBlock(process=process, number=number, latency_ns=np.full(5, median))
        for process, number, median in cells
    ]


def test_the_rounds_are_what_is_independent() -> None:
    baseline = blocks([(0, 0, 100), (0, 1, 100), (1, 0, 100), (1, 1, 100), (2, 0, 100), (2, 1, 100)])
    variant = blocks([(0, 0, 80), (0, 1, 80), (1, 0, 82), (1, 1, 82), (2, 0, 84), (2, 1, 84)])
    logs = np.log([0.80, 0.82, 0.84])
    found = compare(baseline, {"v": variant}, "b")["v"]
    assert found.baseline_variant_id == "b"
    assert found.pairs == 6
    assert found.ratio == pytest.approx(math.exp(logs.mean()))
    # Student's t, 2 degrees of freedom: 4.3027
    half = 4.302653 * logs.std(ddof=1) / math.sqrt(3)
    assert found.ci95_low == pytest.approx(math.exp(logs.mean() - half), rel=1e-6)
    assert found.ci95_high == pytest.approx(math.exp(logs.mean() + half), rel=1e-6)
    stats = pytest.importorskip("scipy.stats")
    assert found.p_value == pytest.approx(float(stats.ttest_1samp(logs, 0).pvalue), rel=1e-6)
    assert found.outcome == result_pb2.OUTCOME_FASTER


def test_with_one_process_its_passes_are() -> None:
    baseline = blocks([(0, number, 100) for number in range(4)])
    variant = blocks([(0, 0, 108), (0, 1, 110), (0, 2, 112), (0, 3, 110)])
    logs = np.log([1.08, 1.10, 1.12, 1.10])
    found = compare(baseline, {"v": variant})["v"]
    half = 3.182446 * logs.std(ddof=1) / 2
    assert found.ci95_low == pytest.approx(math.exp(logs.mean() - half), rel=1e-6)
    assert found.outcome == result_pb2.OUTCOME_SLOWER


def test_a_block_without_its_partner_says_nothing() -> None:
    baseline = blocks([(0, 0, 100), (0, 2, 200), (1, 0, 100), (1, 1, 100)])
    # (0, 1) of the baseline was voided; (0, 4) repeats a voided block of the variant
    variant = blocks([(0, 0, 90), (0, 1, 5), (0, 4, 5), (1, 0, 90), (1, 1, 90)])
    found = difference(baseline, variant)
    assert found is not None
    assert found.pairs == 3
    assert found.mean == pytest.approx(math.log(0.9))


def test_what_the_board_did_to_both_cancels() -> None:
    board = [1.0, 1.3, 0.8, 2.0]
    baseline = blocks([(0, number, 100 * level) for number, level in enumerate(board)])
    variant = blocks([(0, number, 70 * level) for number, level in enumerate(board)])
    found = compare(baseline, {"v": variant})["v"]
    assert found.ratio == pytest.approx(0.7)
    assert found.ci95_high - found.ci95_low < 1e-9


def test_one_pair_cannot_tell() -> None:
    found = compare(blocks([(0, 0, 100)]), {"v": blocks([(0, 0, 1)])})["v"]
    assert found.ratio == pytest.approx(0.01)
    assert found.pairs == 1
    assert (found.ci95_low, found.ci95_high, found.p_value) == (0, 0, 1)
    assert found.outcome == result_pb2.OUTCOME_CANNOT_TELL


def test_no_pair_is_no_comparison() -> None:
    baseline = blocks([(0, 0, 100), (0, 1, 100)])
    assert compare(baseline, {"v": [], "w": blocks([(1, 0, 100)])}) == {}


def test_blocks_that_are_all_alike() -> None:
    baseline = blocks([(0, 0, 100), (1, 0, 100)])
    found = compare(baseline, {"same": baseline, "half": blocks([(0, 0, 50), (1, 0, 50)])})
    assert found["same"].outcome == result_pb2.OUTCOME_CANNOT_TELL
    assert found["same"].p_value == 1
    assert found["half"].outcome == result_pb2.OUTCOME_FASTER
    assert found["half"].p_value == 0


def test_more_questions_want_wider_answers() -> None:
    random = np.random.default_rng(2)

    def one() -> list[SimulatedBlock]:
        return blocks([(process, 0, 100 * math.exp(random.normal(0, 0.01))) for process in range(5)])

    baseline, variant = one(), one()
    alone = compare(baseline, {"v": variant})["v"]
    among = compare(baseline, {"v": variant, "w": one(), "x": one()})["v"]
    assert among.ratio == alone.ratio
    assert among.ci95_low < alone.ci95_low
    assert among.ci95_high > alone.ci95_high
    # A variant that could not be measured asks nothing.
    assert compare(baseline, {"v": variant, "w": []})["v"] == alone


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([], []),
        ([0.04], [0.04]),
        # Holm 1979: times m, m - 1, ...; never below the one before
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.6, 0.5], [1.0, 1.0]),
    ],
)
def test_holm(p_values: list[float], adjusted: list[float]) -> None:
    assert holm(p_values) == pytest.approx(adjusted)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_the_plain_value_and_bonferronis(p_values: list[float]) -> None:
    for plain, adjusted in zip(p_values, holm(p_values), strict=True):
        assert plain <= adjusted <= min(1.0, plain * len(p_values)) + 1e-12 or adjusted >= max(p_values)


levels = st.floats(1e3, 1e9)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), levels, levels),
        min_size=1,
        max_size=16,
        unique_by=lambda cell: cell[:2],
    ),
    st.integers(1, 4),
)
def test_swapping_the_two_turns_everything_round(
    cells: list[tuple[int, int, float, float]], many: int
) -> None:
    a = blocks([(process, number, one) for process, number, one, _ in cells])
    b = blocks([(process, number, other) for process, number, _, other in cells])
    there = compare(a, {str(name): b for name in range(many)})["0"]
    back = compare(b, {str(name): a for name in range(many)})["0"]
    assert there.ratio * back.ratio == pytest.approx(1)
    assert there.pairs == back.pairs
    assert there.p_value == pytest.approx(back.p_value)
    assert there.ci95_low * back.ci95_high == pytest.approx(1 if there.ci95_low else 0)
    turned = {
        result_pb2.OUTCOME_FASTER: result_pb2.OUTCOME_SLOWER,
        result_pb2.OUTCOME_SLOWER: result_pb2.OUTCOME_FASTER,
        result_pb2.OUTCOME_CANNOT_TELL: result_pb2.OUTCOME_CANNOT_TELL,
    }
    assert back.outcome == turned[there.outcome]
    if there.outcome != result_pb2.OUTCOME_CANNOT_TELL:
        assert there.p_value < 0.05


RUNS = 400


@pytest.mark.parametrize(
    ("board", "plan", "variants"),
    [
        (Board(), STANDARD, 2),
        (Board(process_sd=0.02), STANDARD, 4),
        (Board(drift=linear(0.08)), STANDARD, 2),
        (Board(process_sd=0.0, drift=linear(0.08)), QUICK, 2),
    ],
)
def test_the_same_model_twice_is_told_apart_in_one_of_twenty_jobs(
    board: Board, plan: Plan, variants: int
) -> None:
    found = verdicts.outcomes(board, plan, [0.0] * variants, RUNS)
    told = sum(any(one != result_pb2.OUTCOME_CANNOT_TELL for one in job) for job in found)
    # 400 jobs tell 5 % to +-2.2 %.
    assert told / RUNS <= 0.072


@pytest.mark.parametrize("drift", [linear(0.08), exponential(0.08)])
def test_three_percent_are_found_under_a_drift_that_fools_a_script(drift: object) -> None:
    board = Board(drift=drift)  # type: ignore[arg-type]
    effects = [0.0, verdicts.FASTER_3_PERCENT]
    found = [job[0] for job in verdicts.outcomes(board, STANDARD, effects, RUNS)]
    assert found.count(result_pb2.OUTCOME_FASTER) / RUNS >= 0.9
    assert found.count(result_pb2.OUTCOME_SLOWER) == 0
    scripted = verdicts.scripted_outcomes(board, STANDARD, effects, RUNS)
    assert scripted.count(result_pb2.OUTCOME_FASTER) / RUNS < 0.05


@pytest.mark.parametrize("plan", [STANDARD, PUBLICATION])
def test_intervals_hold_the_true_ratios_together(plan: Plan) -> None:
    cases = (("", plan, Board(process_sd=0.02, drift=linear(0.05))),)
    for row in coverage.ratios(RUNS, cases):
        assert row.rate >= 0.92
