"""How much of a layer low-rank factors keep."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_converters.compress.ranks import rank_of, ranks_of

FLAT = [1.0] * 64
FALLING = [2.0**-at for at in range(64)]
SLOWLY = [0.88 ** (at / 2) for at in range(64)]


@pytest.mark.parametrize(
    ("budget", "rank"),
    [
        (0.5, 16),  # 16 · (64 + 64) = half of 64 · 64
        (0.49, 15),
        (0.25, 8),
        (0.2, None),  # too thin a neck
        (0.99, 31),
    ],
)
def test_rank_within_a_budget(budget: float, rank: int | None) -> None:
    assert rank_of(FLAT, 64, 64, budget=budget, energy=None) == rank


@pytest.mark.parametrize(
    ("values", "energy", "rank"),
    [
        (SLOWLY, 0.8, 13),  # 1 - .88^13 = .81
        (SLOWLY, 0.9, 18),
        (FALLING, 0.75, 8),  # the first has 3/4 of all squares, but one is too thin
        (FLAT, 0.25, 16),
        (FLAT, 0.9, None),  # 58 · 128 are more than 64 · 64
    ],
)
def test_rank_that_keeps_energy(values: list[float], energy: float, rank: int | None) -> None:
    assert rank_of(values, 64, 64, budget=0.5, energy=energy) == rank


def test_a_row_has_no_smaller_factors() -> None:
    assert rank_of([1.0], 1, 100, budget=0.5, energy=None) is None


@given(
    inputs=st.integers(1, 40),
    outputs=st.integers(1, 40),
    kernel=st.sampled_from([3, 9, 25]),
    budget=st.floats(0.05, 0.95),
)
def test_ranks_of_a_convolution_keep_to_the_budget(
    inputs: int, outputs: int, kernel: int, budget: float
) -> None:
    ranks = ranks_of(
        FALLING[:inputs],
        FALLING[:outputs],
        inputs=inputs,
        outputs=outputs,
        kernel=kernel,
        budget=budget,
        energy=None,
    )
    if ranks is not None:
        first, second = ranks
        assert min(8, inputs) <= first <= inputs
        assert min(8, outputs) <= second <= outputs
        # Where all inputs are kept, they need no factor of their own.
        size = (first < inputs) * inputs * first + first * second * kernel + second * outputs
        assert size <= budget * inputs * outputs * kernel


def test_rank_goes_where_the_energy_is() -> None:
    flat, falling = [1.0] * 32, FALLING[:32]
    ranks = ranks_of(flat, falling, inputs=32, outputs=32, kernel=9, budget=0.5, energy=None)
    assert ranks is not None
    assert ranks[0] == 32
    assert ranks[1] < 16


def test_ranks_that_keep_energy() -> None:
    slowly = SLOWLY[:32]
    ranks = ranks_of(slowly, slowly, inputs=32, outputs=32, kernel=9, budget=0.5, energy=0.6)
    # Each mode may lose a fifth: 1 - .88^13 = .81.
    assert ranks == (13, 13)
    flat = [1.0] * 32
    assert ranks_of(flat, flat, inputs=32, outputs=32, kernel=9, budget=0.5, energy=0.99) is None


def test_three_inputs_keep_three() -> None:
    ranks = ranks_of(FALLING[:3], SLOWLY[:32], inputs=3, outputs=32, kernel=25, budget=0.5, energy=None)
    assert ranks is not None
    assert ranks[0] == 3
