from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_agent.engine.order import block_order
from edgemeter_agent.engine.sizing import batch_queries, guess_peak_bytes, holds_all

plans = st.tuples(st.integers(1, 8), st.integers(1, 12), st.integers(0, 2**64 - 1), st.integers(0, 5))


@given(plans)
def test_every_pass_has_every_variant_once_and_pairs_mirror(plan: tuple[int, int, int, int]) -> None:
    variants, blocks, seed, process = plan
    passes = block_order(variants, blocks, seed, process)
    assert len(passes) == blocks
    assert all(sorted(one) == list(range(variants)) for one in passes)
    for first, second in zip(passes[::2], passes[1::2], strict=False):
        assert second == first[::-1]
    assert passes == block_order(variants, blocks, seed, process)


@given(plans.filter(lambda plan: plan[1] % 2 == 0))
def test_a_drift_that_is_linear_in_time_weighs_on_all_alike(plan: tuple[int, int, int, int]) -> None:
    variants, blocks, seed, process = plan
    passes = block_order(variants, blocks, seed, process)
    sequence = [variant for one in passes for variant in one]
    burden: Counter[int] = Counter()
    for position, variant in enumerate(sequence):
        burden[variant] += position
    assert len(set(burden.values())) == 1


def test_seeds_and_processes_shuffle_anew() -> None:
    orders = {str(block_order(5, 4, seed, process)) for seed in range(3) for process in range(3)}
    assert len(orders) == 9


@pytest.mark.parametrize(
    ("available", "peaks", "fits"),
    [
        (1000, [400, 400], True),
        (1000, [400, 401], False),
        # memory that can't be read is taken for enough
        (None, [10**15], True),
        (0, [], True),
    ],
)
def test_what_fits_in_memory(available: int | None, peaks: list[int], fits: bool) -> None:
    assert holds_all(available, peaks) is fits


def test_a_first_guess_counts_the_process_and_the_unpacked_weights() -> None:
    assert guess_peak_bytes(40, 10) == 80


@given(st.floats(1, 1e9), st.floats(1, 1e5))
def test_a_sample_takes_twenty_times_the_overhead_and_no_more_queries_than_that_needs(
    latency_ns: float, overhead_ns: float
) -> None:
    queries = batch_queries(latency_ns, overhead_ns)
    assert queries >= 1
    assert queries * latency_ns >= 20 * overhead_ns * (1 - 1e-9)
    assert queries == 1 or (queries - 1) * latency_ns <= 20 * overhead_ns


def test_a_latency_below_the_clocks_resolution_is_batched_too() -> None:
    assert batch_queries(0.0, 50.0) == 1000
